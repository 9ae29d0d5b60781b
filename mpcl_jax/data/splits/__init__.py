"""Protocols and manifests: the training, validation and test part of each fold."""

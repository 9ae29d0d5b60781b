"""Protocols and manifests: who is trained on and who is tested."""

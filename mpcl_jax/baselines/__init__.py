"""Baselines on the same rows, features and budget as MPCL."""

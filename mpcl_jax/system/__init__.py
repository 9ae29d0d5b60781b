"""Paths, files, errors and output: what a run meets outside of Python."""

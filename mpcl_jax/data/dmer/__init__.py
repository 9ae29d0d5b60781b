"""DMER in its four layouts."""

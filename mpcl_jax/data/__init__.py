"""Data sets, and how they become rows, splits and batches."""

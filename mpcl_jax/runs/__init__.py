"""Reading of finished runs: all files (NumPy only, without JAX), the memory, and predictions for new recordings."""

"""Looking inside a run: its memory, its predictions, single samples. NumPy only; JAX is never imported."""

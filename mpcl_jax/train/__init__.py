"""State, step, loop, checkpoints and evaluation."""

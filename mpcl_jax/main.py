"""Trains, evaluates and compares: python -m mpcl_jax.main --config configs/dataset.py (all of it: `cli/train.py`)."""

from mpcl_jax.cli import train

if __name__ == "__main__":
    __doc__ = train.__doc__  # what --help shows
    train.run()

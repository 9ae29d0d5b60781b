"""A memory whose slots are known, for the tests of its descriptions and pictures."""

import pathlib

import numpy as np

from mpcl_jax.runs.memory import Memory

EMOTIONS = ("joy", "calm", "fear")


def known_memory(checkpoint="x/checkpoints/1", near=0) -> Memory:
    """3 emotions × 2 slots in 8 dimensions: every row a unit vector of its own, all slots used alike."""
    bank = np.broadcast_to(np.eye(8)[:6].reshape(3, 2, 8), (2, 3, 2, 8)).copy()
    return Memory(
        checkpoint=pathlib.Path(checkpoint),
        emotions=EMOTIONS,
        valence=("positive", "positive", "negative"),
        bank=bank,
        mass=np.full((2, 3, 2), 10.0),
        usage=np.full((3, 2), 0.1),
        cooccurrence=np.full((3, 3), 1 / 9),
        near_id=np.full((3, 2, near), "P01/clip01@0.000"),
        near_subject=np.full((3, 2, near), "P01"),
        near_cosine=np.full((3, 2, near), 0.5),
    )

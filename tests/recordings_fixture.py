"""Recordings with ids that mean something and signals that do not."""

import numpy as np

from mpcl_jax.types import Recordings


def recordings_of(subjects: int, clips: int, windows: int, *, first=0, step=5.0) -> Recordings:
    """Every subject S<first>, S<first + 1> ... saw the clips c0, c1 ..., each in windows `step` seconds apart."""
    subject, clip, window = (x.ravel() for x in np.indices((subjects, clips, windows)))
    n = len(subject)
    return Recordings(
        name="fake",
        emotions=("a", "b"),
        valence=("positive", "negative"),
        groups={"eda": "physiological"},
        signals={"eda": np.zeros((n, 1, 2), np.float32)},
        present={"eda": np.ones(n, bool)},
        quality={"eda": np.ones(n, np.float32)},
        labels=np.full((n, 2), 0.5, np.float32),
        subject=np.array([f"S{i + first}" for i in subject]),
        trial=np.array([f"S{i + first}/c{j}" for i, j in zip(subject, clip, strict=True)]),
        stimulus=np.array([f"c{j}" for j in clip]),
        start=window * step,
        duration=5.0,
    )

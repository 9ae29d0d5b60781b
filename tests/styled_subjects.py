"""Subjects with a style of their own, so that a memory of their reports pays: recordings, and a folder of files."""

import json

import numpy as np
from scipy.special import log_softmax

import mpcl_jax as mpcl


def styled_subjects(subjects: int = 12, trials: int = 5, style: float = 1.0):
    """`trials` of two windows of each subject, three emotions; the standard deviation of the style is `style`."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(subjects), trials * 2)
    trial = np.repeat(np.arange(subjects * trials), 2)
    scores = style * rng.normal(size=(subjects, 3))[subject]
    scores = scores + 0.2 * rng.normal(size=(subjects * trials, 3))[trial]
    signals = {"eda": rng.normal(size=(len(trial), 2))}
    ids = {"subject": subject.astype(str), "trial": trial.astype(str)}
    return mpcl.from_arrays(signals, np.exp(log_softmax(scores, 1)), **ids)


def write_styled(folder, **sizes):
    """The same in the folder format; returns `folder`."""
    made = styled_subjects(**sizes)
    emotions = [{"name": name, "valence": "all"} for name in ("joy", "calm", "fear")]
    meta = {"name": "styled", "emotions": emotions, "modalities": {"eda": {"group": "physiological"}}}
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    for name in np.unique(made.subject):
        own = made.subject == name
        np.savez(
            folder / f"S{int(name):02d}.npz",
            labels=made.labels[own],
            trial=np.repeat(np.arange(own.sum() // 2), 2),
            eda=made.signals["eda"][own, 0],
        )
    return folder

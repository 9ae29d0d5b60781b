"""Simulated sensors, and a model with random parameters that was never trained: streams need no good predictions."""

import numpy as np
from adaptation_fixture import KERNEL
from tiny_model import CONFIG, MODEL, changed, tiny

import mpcl_jax as mpcl
from mpcl_jax.data.normalise import fit_normalisation
from mpcl_jax.estimator import card
from mpcl_jax.estimator.inputs import OF_RECORDINGS
from mpcl_jax.estimator.prediction import ranges_of
from mpcl_jax.train.fit import Fit, Learned
from mpcl_jax.types import spec_of

RATES = {"bvp": 64.0, "eda": 4.0, "temp": 4.0, "acc": 32.0}
WINDOW, HOP = 20.0, 5.0
EMOTIONS = ["joy", "calm", "fear", "anger"]


def recording(seconds: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Signals of a worn device, sensor -> [n] or [n, 3]."""
    rng = np.random.default_rng(seed)
    t = {m: np.arange(round(seconds * rate)) / rate for m, rate in RATES.items()}
    drift = 1 + 0.3 * np.sin(0.02 * t["eda"] + seed)
    return {
        "bvp": np.sin(2 * np.pi * 1.2 * t["bvp"] + np.sin(0.1 * t["bvp"]))
        + 0.1 * rng.normal(size=len(t["bvp"])),
        "eda": drift + 0.01 * rng.normal(size=len(t["eda"])),
        "temp": 33 + 0.1 * rng.normal(size=len(t["temp"])),
        "acc": rng.normal((0, 0, 1), 0.05, (len(t["acc"]), 3)),
    }


def offline(signals, window=WINDOW, hop=HOP):
    """Features of all windows, and the seconds at which they end."""
    found = mpcl.features.extract(signals, {m: RATES[m] for m in signals}, window, hop)
    return found.values, found.start + window


def untrained(memory=True, per_subject=False, seeds=2, window=WINDOW, hop=HOP, signals=None, **changes):
    """A `MPCLRegressor` with random parameters; `signals`: those of the training subjects."""
    values, _ = offline(signals or recording(150, seed=9), window, hop)
    count = len(next(iter(values.values())))
    labels = np.random.default_rng(0).dirichlet(np.ones(len(EMOTIONS)), count)
    data = mpcl.from_arrays(values, labels, subject="S1", emotions=EMOTIONS, window_seconds=window)
    spec, config = spec_of(data), changed(CONFIG, data={"per_subject_standardise": per_subject}, **changes)
    config = changed(config, log={"keep_compiled": False})
    _, held = tiny(MODEL, spec)
    fit = Fit(
        config, fit_normalisation(data), held["params"], held["prototypes"]["memory"], 1, "no training", ()
    )
    model = mpcl.MPCLRegressor(per_subject_standardise=per_subject)
    model._fits, model._spec, model._layout = [fit] * seeds, spec, OF_RECORDINGS
    model._models, model._memories, model._ranges = [], None, ranges_of(data)
    model._about, model.mean_label_ = card.about(data), data.labels.mean(0, dtype=np.float64)
    model.memory_ = Learned(KERNEL if memory else None, "on: for a test" if memory else "off: for a test")
    return model


def shares(found) -> np.ndarray:
    """[N, C] of the predictions of a stream."""
    return np.stack([p.distribution for _, p in found])

"""Whether an exported program predicts what the model predicts."""

import itertools
import warnings
from collections.abc import Callable

import numpy as np

from mpcl_jax.export.program import Exportable, inputs_of

WINDOWS, SUBSETS, MISSING = 64, 1024, 0.05  # windows, the most subsets of modalities, share of missing values
TOLERANCE = 1e-5


def largest_difference(source: Exportable, run: Callable[[dict], np.ndarray]) -> float:
    """The largest difference of a share between `run`, m -> [N, *shape] to [N, C], and the model's `predict`.

    64 windows around the training mean with every subset of the modalities absent: 1024 drawn subsets where there are
    more. Infinite where only one of the two refuses a window.
    """
    rng, shapes, norm = np.random.default_rng(0), source.spec.shapes, source.models[0].normalisation
    subsets = np.array(list(itertools.islice(itertools.product((True, False), repeat=len(shapes)), SUBSETS)))
    if 2 ** len(shapes) > SUBSETS:
        subsets = rng.random((SUBSETS, len(shapes))) < 0.5
    signals, present = {}, {}
    for m, here in zip(shapes, subsets.T, strict=True):
        drawn = rng.normal(size=(WINDOWS, *shapes[m]))
        x = norm.mean[m] + np.where(np.isfinite(norm.std[m]), norm.std[m], 0) * drawn
        x[rng.random(x.shape) < MISSING] = np.nan
        x = np.where(here[:, None, None, None], x, np.nan).reshape(-1, *shapes[m]).astype(np.float32)
        signals[m], present[m] = x, ~np.isnan(x).all((1, 2))
    some = np.any(list(present.values()), axis=0)
    expected = np.tile(np.asarray(source.empty, np.float64), (len(some), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values outside the training range
        held = ({m: x[some] for m, x in tree.items()} for tree in (signals, present))
        expected[some] = source.predict(*held)
    found = run({m: signals[m].reshape(-1, *shape) for m, shape in inputs_of(source.spec).items()})
    if (np.isnan(found) != np.isnan(expected)).any():
        return np.inf
    return float(np.nanmax(np.abs(found - expected)))

"""One test window explained: what was recalled, what called up what, what a modality or a scale was worth."""

import difflib
from typing import NamedTuple

import numpy as np

from mpcl_jax import metrics
from mpcl_jax.runs.read_run import RunFiles

MOST = 8  # prototypes and pairs that are named
NEAR = 5  # ids that are named where one does not exist


class Share(NamedTuple):
    """One emotion of the distribution."""

    emotion: str
    reported: float
    predicted: float


class Recalled(NamedTuple):
    """One prototype and its weight in what was recalled; all weights of a window sum to 1."""

    side: str
    emotion: str
    slot: int
    weight: float


class Called(NamedTuple):
    """How much of what was recalled went from one emotion to another."""

    emotion: str
    called_up: str
    weight: float


class Worth(NamedTuple):
    """KL without a part minus KL with it: above 0 the part helped."""

    name: str
    gain: float
    largest_change: str  # the emotion whose share changes most
    change: float  # of that share, when the part is there


class Explanation(NamedTuple):
    """What a run knows of one test window."""

    id: str
    subject: str
    fold: int
    kl: float
    shares: tuple[Share, ...]  # in the order of the emotions
    recalled: tuple[Recalled, ...]  # heaviest first; () without a memory
    called: tuple[Called, ...]  # heaviest first, pairs of different emotions
    modalities: tuple[Worth, ...]  # () in runs of older versions
    scales: tuple[Worth, ...]


def row_of(run: RunFiles, sample: str) -> int:
    """The row of a test window by its id. Raises KeyError that names near ids where there is none."""
    found = np.flatnonzero(run.id == sample)
    if len(found):
        return int(found[0])
    ids = run.id.tolist()
    near = [name for name in ids if name.startswith(sample.split("@")[0])]
    near = near[:NEAR] or difflib.get_close_matches(sample, ids, n=NEAR, cutoff=0)
    tested = f"predictions.csv has all {len(ids)} windows that this run tested"
    raise KeyError(f"{run.folder}: no test window {sample!r}; there are {', '.join(near)}; {tested}")


def explain(run: RunFiles, row: int) -> Explanation:
    """The test window in `row` of the run's arrays."""
    reported, predicted = run.reported[row], run.predicted[row]
    kl = float(window_kl(reported[None], predicted[None])[0])
    shares = tuple(map(Share, run.emotions, reported.tolist(), predicted.tolist()))
    modalities, scales, seen = (), (), run.inspection
    if seen is not None:
        modalities = _worths(run, row, kl, seen.modality.tolist(), seen.without_modality[row])
        names = [f"scale {x:g}" for x in seen.scale]
        scales = _worths(run, row, kl, names, seen.without_scale[row])
    return Explanation(
        id=str(run.id[row]),
        subject=str(run.subject[row]),
        fold=int(run.fold[row]),
        kl=kl,
        shares=shares,
        recalled=_recalled(run, row),
        called=_called(run, row),
        modalities=modalities,
        scales=scales,
    )


def window_kl(reported, predicted) -> np.ndarray:
    """KL of each window, [P]."""
    return metrics.kl(np.asarray(reported, np.float64), np.asarray(predicted, np.float64))


def recalled_weights(run: RunFiles, row: int) -> np.ndarray:
    """Weight of every prototype [G, C, K] in what the emotions called up, sums to 1; or 0 without a memory."""
    if run.inspection is not None:
        return run.inspection.recalled[row]
    return np.zeros(run.similarity.shape[1:])


def _recalled(run: RunFiles, row: int) -> tuple[Recalled, ...]:
    weights = recalled_weights(run, row)
    order = np.argsort(-weights.ravel(), kind="stable")[:MOST]
    places = [np.unravel_index(i, weights.shape) for i in order if weights.ravel()[i] > 0]
    return tuple(
        Recalled(run.sides[g], run.emotions[c], int(k), float(weights[g, c, k])) for g, c, k in places
    )


def _called(run: RunFiles, row: int) -> tuple[Called, ...]:
    weights = run.predicted[row][:, None] * run.cooccurrence_map[row]
    np.fill_diagonal(weights, 0)
    order = np.argsort(-weights.ravel(), kind="stable")[:MOST]
    pairs = [np.unravel_index(i, weights.shape) for i in order if weights.ravel()[i] > 0]
    return tuple(Called(run.emotions[a], run.emotions[b], float(weights[a, b])) for a, b in pairs)


def _worths(run: RunFiles, row: int, kl: float, names: list[str], without: np.ndarray) -> tuple[Worth, ...]:
    found = []
    for name, shares in zip(names, without, strict=False):
        if np.isnan(shares).any():
            continue
        gain = float(window_kl(run.reported[row][None], shares[None].astype(np.float64))[0]) - kl
        change = run.predicted[row] - shares
        most = int(np.abs(change).argmax())
        found.append(Worth(name, gain, run.emotions[most], float(change[most])))
    return tuple(found)

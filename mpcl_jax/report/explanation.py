"""One test window explained: retrieved prototypes and pairs of emotions, contributions of modalities and scales."""

import difflib
from typing import NamedTuple

import numpy as np

from mpcl_jax import metrics
from mpcl_jax.runs.read_run import RunFiles
from mpcl_jax.train.fold_memory import recalled_trials

MOST = 8  # number of listed prototypes and pairs
NEAR = 5  # similar ids that are named if an id does not exist


class Share(NamedTuple):
    """One emotion of the distribution."""

    emotion: str
    reported: float
    predicted: float


class Recalled(NamedTuple):
    """A retrieved prototype with its weight; all weights of a window sum to 1."""

    group: str
    emotion: str
    slot: int
    weight: float


class RetrievedPair(NamedTuple):
    """Predicted share of an emotion times the weight with which it retrieves another one."""

    emotion: str
    retrieved: str
    weight: float


class Contribution(NamedTuple):
    """KL without a part minus KL with it: above 0 the part improved the prediction."""

    name: str
    gain: float
    largest_change: str  # the emotion whose share changes most
    change: float  # of that share, with the part minus without it


class Explanation(NamedTuple):
    """One test window of a run."""

    id: str
    subject: str
    fold: int
    kl: float
    shares: tuple[Share, ...]  # in the order of the emotions
    recalled: tuple[Recalled, ...]  # heaviest first; () without a memory
    pairs: tuple[RetrievedPair, ...]  # heaviest first, pairs of different emotions
    modalities: tuple[Contribution, ...]  # () in runs of older versions
    scales: tuple[Contribution, ...]
    # Written trial -> weight of its residual in the correction of log p, heaviest first; {} without a memory or a
    # written trial; None for protocols that write no trials.
    written: dict[str, float] | None


def row_of(run: RunFiles, sample: str) -> int:
    """The row of a test window by its id. Raises KeyError, which names similar ids, if there is none."""
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
    kl = float(metrics.kl(reported[None], predicted[None])[0])
    shares = tuple(map(Share, run.emotions, reported.tolist(), predicted.tolist()))
    of_model = run.zero_shot[row]  # what the model predicts without written trials
    recalled, pairs = recalled_weights(run, row), of_model[:, None] * run.cooccurrence_map[row]
    np.fill_diagonal(pairs, 0)
    names, modality_groups = run.emotions, run.modality_groups
    modalities, scales, seen = (), (), run.inspection
    if seen is not None:
        modalities = _contributions(run, row, seen.modality.tolist(), seen.without_modality[row])
        of_scale = [f"scale {x:g}" for x in seen.scale]
        scales = _contributions(run, row, of_scale, seen.without_scale[row])
    return Explanation(
        id=str(run.id[row]),
        subject=str(run.subject[row]),
        fold=int(run.fold[row]),
        kl=kl,
        shares=shares,
        recalled=tuple(Recalled(modality_groups[g], names[c], k, w) for (g, c, k), w in _heaviest(recalled)),
        pairs=tuple(RetrievedPair(names[a], names[b], w) for (a, b), w in _heaviest(pairs)),
        modalities=modalities,
        scales=scales,
        written=_written(run, row),
    )


def _written(run: RunFiles, row: int) -> dict[str, float] | None:
    if run.written is None:
        return None
    memory = run.written.memories[np.unique(run.fold).tolist().index(run.fold[row])]
    weight = recalled_trials(memory, str(run.subject[row]), str(run.trial[row]), run.written.n)
    return dict(sorted(weight.items(), key=lambda pair: -abs(pair[1])))


def recalled_weights(run: RunFiles, row: int) -> np.ndarray:
    """Weight of every prototype [G, C, K] in the retrieval of all emotions, sums to 1; or 0 without a memory."""
    if run.inspection is not None:
        return run.inspection.recalled[row]
    return np.zeros(run.similarity.shape[1:])


def _heaviest(weights: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
    """Place and value of the largest weights above 0, the largest first."""
    places = np.argsort(-weights.ravel(), kind="stable")[:MOST]
    found = [tuple(map(int, np.unravel_index(i, weights.shape))) for i in places]
    return [(place, float(weights[place])) for place in found if weights[place] > 0]


def _contributions(run: RunFiles, row: int, names, without) -> tuple[Contribution, ...]:
    """Of each part that the window has, from the predictions [parts, C] `without` it."""
    found, of_model, reported = [], run.zero_shot[row], run.reported[row][None]
    kl = float(metrics.kl(reported, of_model[None])[0])
    for name, shares in zip(names, without, strict=False):
        if not np.isnan(shares).any():
            gain = float(metrics.kl(reported, shares[None])[0]) - kl
            change = of_model - shares
            most = int(np.abs(change).argmax())
            found.append(Contribution(name, gain, run.emotions[most], float(change[most])))
    return tuple(found)

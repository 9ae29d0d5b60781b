"""What the models of trained folds retrieve, and what they predict without a modality or a scale.

Only the compiled `predict` of the run is called, with its own shapes, so that nothing new is compiled.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from mpcl_jax import metrics
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.protocols import Fold, row_ids
from mpcl_jax.model.outputs import MPCLOutput, Recall
from mpcl_jax.train.evaluate import Trained, predict, with_modalities
from mpcl_jax.train.fold_inspection import Inspection, no_near_windows
from mpcl_jax.types import Recordings

NEAREST = 3  # training windows shown for a prototype, each of another trial
SUBSETS = 6  # tried sets of modalities of each size
CLOSED = -1e9  # the gate of a scale that is left out: its share becomes exactly 0
GATE = ("fusion", "block", "retrieval", "gate", "bias")  # the place of this parameter


def inspect_group(
    trained: Trained, recalls: Sequence[Recall], folds: Sequence[Fold], recordings: Recordings, config: Config
) -> list[Inspection]:
    """Predicts the test windows with parts left out, and the training windows once.

    `recalls`: of the test windows of each fold, as they are.
    """

    def shares(one: Trained) -> list[np.ndarray]:
        outputs = predict(one, [fold.test for fold in folds])
        return [metrics.from_log_probs(output.log_probs) for output, _ in outputs]

    names, subset = list(recordings.groups), subsets_of(len(recordings.groups))
    by_subset = [shares(with_modalities(trained, kept)) for kept in subset]
    by_scale = [shares(one) for one in _without_each_scale(trained, len(config.model.fusion.scales))]
    near = [no_near_windows(len(recordings.emotions), config.model.memory.slots)] * len(folds)
    if trained.prototypes is not None:
        outputs = predict(trained, [fold.train for fold in folds])
        near = [_nearest(x, f, recordings, config) for (x, _), f in zip(outputs, folds, strict=True)]
    inspections = []
    for i, (fold, recall) in enumerate(zip(folds, recalls, strict=True)):
        changed = [of_folds[i] for of_folds in by_subset]
        labels = recordings.labels[fold.test]
        present = np.stack([recordings.present[m][fold.test] for m in names], axis=1)
        scales = [of_folds[i] for of_folds in by_scale] or np.zeros((0, *labels.shape), np.float32)
        inspections.append(
            Inspection(
                rows=np.asarray(fold.test),
                modality=np.array(names),
                scale=np.array(config.model.fusion.scales),
                present=present,
                association=np.where(present[:, None, :, None], recall.association, 0.0),
                recalled=recall.recalled,
                without_scale=np.moveaxis(np.asarray(scales), 0, 1),
                subset=subset,
                **_by_subset(labels, present, subset, changed),
                **near[i],
            )
        )
    return inspections


def _by_subset(labels, present, subset, shares: list[np.ndarray]) -> dict[str, np.ndarray]:
    """`without_modality` and `subset_kl` of an inspection, from the predictions [P, C] of each subset."""
    left = (present[:, None] & subset).any(-1)  # [P, Q]
    kl = [metrics.scores(labels, x.astype(np.float64))["kl"] for x in shares]
    without = np.full((*present.shape, labels.shape[1]), np.nan, np.float32)
    for m in range(present.shape[1]):
        for q in np.flatnonzero(~subset[:, m] & (subset.sum(1) == subset.shape[1] - 1)):
            counts = present[:, m] & left[:, q]
            without[counts, m] = shares[q][counts]
    return {"without_modality": without, "subset_kl": np.where(left, np.stack(kl, axis=1), np.nan)}


def subsets_of(count: int) -> np.ndarray:
    """Sets of `count` modalities [Q, count] bool, from all down to single ones.

    Of every size at most 6, evenly spread over all; every single modality and every set that lacks one is there.
    """
    sets = [np.ones(count, bool)]
    for size in range(count - 1, 0, -1):
        possible = list(itertools.islice(itertools.combinations(range(count), size), 10_000))
        every = size in (1, count - 1)
        chosen = range(len(possible)) if every else np.linspace(0, len(possible) - 1, SUBSETS).astype(int)
        sets += [np.isin(np.arange(count), possible[i]) for i in dict.fromkeys(chosen)]
    return np.stack(sets)


def _without_each_scale(trained: Trained, scales: int) -> list[Trained]:
    """The same models, each without one scale of the fusion; none if there is a single scale."""
    flat = flatten_dict(trained.params)
    if GATE not in flat:
        return []
    bias, closed = flat[GATE], []
    for scale in range(scales):
        here = np.arange(bias.shape[-1]) % scales == scale  # the scales of a head are neighbours
        params = unflatten_dict(flat | {GATE: jnp.where(here, CLOSED, bias)})
        closed.append(trained._replace(params=params))
    return closed


def _nearest(output: MPCLOutput, fold: Fold, recordings: Recordings, config: Config) -> dict[str, np.ndarray]:
    """The training windows nearest to each slot [C, K, R], each of another trial, with their cosines."""
    there = output.present[:, :, None, None]
    cosine = (output.similarity * there).sum(1) / there.sum(1) * config.model.memory.temperature  # [N, C, K]
    ids = np.array(row_ids(recordings))[fold.train]
    codes = np.unique(recordings.trial[fold.train], return_inverse=True)[1]
    count = min(NEAREST, len(np.unique(codes)))
    chosen, values = np.empty((*cosine.shape[1:], count), int), np.empty((*cosine.shape[1:], count))
    for c, k in np.ndindex(cosine.shape[1:]):
        order = np.argsort(-cosine[:, c, k], kind="stable")
        _, first = np.unique(codes[order], return_index=True)
        chosen[c, k] = order[np.sort(first)[:count]]
        values[c, k] = cosine[chosen[c, k], c, k]
    subject = recordings.subject[fold.train][chosen]
    return {"near_id": ids[chosen], "near_subject": subject, "near_cosine": values}

"""What the models of trained folds retrieve, and what they predict without a modality or a scale.

Only the compiled `predict` of the run is called, with its own shapes, so that nothing new is compiled.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mpcl_jax import metrics
from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.protocols import Fold, row_ids
from mpcl_jax.model.mpcl import MPCLOutput
from mpcl_jax.model.recall import Recall
from mpcl_jax.train.evaluate import Trained, predict
from mpcl_jax.train.fold_inspection import Inspection
from mpcl_jax.train.folds import Rows
from mpcl_jax.types import Recordings

NEAREST = 3  # training windows shown for a prototype, each of another trial
SUBSETS = 6  # tried sets of modalities of each size
HIDDEN = -1e9  # the gate of a scale that is left out: its share becomes exactly 0


class _Changed(NamedTuple):
    """Predictions [P, C] with something left out."""

    by_subset: list[np.ndarray]
    by_scale: list[np.ndarray]


def examine_group(
    trained: Trained, recalls: Sequence[Recall], folds: Sequence[Fold], recordings: Recordings, config: Config
) -> list[Inspection]:
    """Predicts the test windows with parts left out, and the training windows once.

    `recalls`: of the test windows of each fold, as they are.
    """
    tests, names = [fold.test for fold in folds], list(recordings.groups)
    subset = subsets_of(len(names))
    by_subset = [_shares(trained._replace(rows=_only(trained.rows, kept)), tests) for kept in subset]
    by_scale = [_shares(one, tests) for one in _with_a_gate_closed(trained, config)]
    trains = [fold.train for fold in folds]
    outputs = [None] * len(folds)
    if trained.prototypes is not None:
        outputs = [output for output, _ in predict(trained, trains)]
    inspections = []
    for i, fold in enumerate(folds):
        changed = _Changed([shares[i] for shares in by_subset], [shares[i] for shares in by_scale])
        near = _nearest(outputs[i], fold, recordings, config.model.memory)
        inspections.append(_inspection(fold, recordings, config, recalls[i], subset, changed, near))
    return inspections


def _inspection(fold, recordings, config, recall: Recall, subset, changed: _Changed, near) -> Inspection:
    names, labels = list(recordings.groups), recordings.labels[fold.test]
    present = np.stack([recordings.present[m][fold.test] for m in names], axis=1)
    left = (present[:, None] & subset).any(-1)  # [P, Q]
    kl = [metrics.scores(labels, shares.astype(np.float64))["kl"] for shares in changed.by_subset]
    without = np.full((*present.shape, labels.shape[1]), np.nan, np.float32)
    for m in range(len(names)):
        for q in np.flatnonzero(~subset[:, m] & (subset.sum(1) == len(names) - 1)):
            counts = present[:, m] & left[:, q]
            without[counts, m] = changed.by_subset[q][counts]
    nothing = np.zeros((len(labels), 0, labels.shape[1]), np.float32)
    return Inspection(
        rows=np.asarray(fold.test),
        modality=np.array(names),
        scale=np.array(config.model.fusion.scales),
        present=present,
        association=np.where(present[:, None, :, None], recall.association, 0.0),
        recalled=recall.recalled,
        without_modality=without,
        without_scale=np.stack(changed.by_scale, axis=1) if changed.by_scale else nothing,
        subset=subset,
        subset_kl=np.where(left, np.stack(kl, axis=1), np.nan),
        **near,
    )


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


def _shares(trained: Trained, chosen: Sequence) -> list[np.ndarray]:
    return [metrics.from_log_probs(output.log_probs) for output, _ in predict(trained, chosen)]


def _only(rows: Rows, kept: np.ndarray) -> Rows:
    here = {m: x & np.bool_(keep) for (m, x), keep in zip(rows.present.items(), kept, strict=True)}
    return rows._replace(present=here)


def _with_a_gate_closed(trained: Trained, config: Config) -> list[Trained]:
    """The same models, each without one scale of the fusion; none if there is a single scale."""
    scales, fusion = len(config.model.fusion.scales), trained.params.get("fusion", {})
    if scales == 1 or "block" not in fusion:
        return []
    block = fusion["block"]
    gate = block["retrieval"]["gate"]
    closed = []
    for scale in range(scales):
        here = np.arange(gate["bias"].shape[-1]) % scales == scale  # the scales of a head are neighbours
        bias = jnp.where(jnp.broadcast_to(here, gate["bias"].shape), HIDDEN, gate["bias"])
        retrieval = block["retrieval"] | {"gate": gate | {"bias": bias}}
        params = trained.params | {"fusion": fusion | {"block": block | {"retrieval": retrieval}}}
        closed.append(trained._replace(params=params))
    return closed


def _nearest(
    output: MPCLOutput | None, fold: Fold, recordings: Recordings, settings
) -> dict[str, np.ndarray]:
    """The training windows nearest to each slot [C, K, R], each of another trial, with their cosines."""
    if output is None:
        nothing = np.zeros((len(recordings.emotions), settings.slots, 0))
        return {"near_id": nothing.astype(str), "near_subject": nothing.astype(str), "near_cosine": nothing}
    there = output.present[:, :, None, None]
    cosine = (output.similarity * there).sum(1) / there.sum(1) * settings.temperature  # [N, C, K]
    ids = np.array(row_ids(recordings))[fold.train]
    codes = np.unique(recordings.trial[fold.train], return_inverse=True)[1]
    count = min(NEAREST, len(np.unique(codes)))
    chosen, values = np.empty((*cosine.shape[1:], count), int), np.empty((*cosine.shape[1:], count))
    for c, k in np.ndindex(cosine.shape[1:]):
        order = np.argsort(-cosine[:, c, k], kind="stable")
        _, first = np.unique(codes[order], return_index=True)
        chosen[c, k] = order[np.sort(first)[:count]]
        values[c, k] = cosine[chosen[c, k], c, k]
    return {
        "near_id": ids[chosen],
        "near_subject": recordings.subject[fold.train][chosen],
        "near_cosine": values,
    }

"""What lies behind predictions of `MPCLRegressor`: retrieved prototypes, co-occurrence, weights of modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, adapted, seen_by
from mpcl_jax.metrics import kl
from mpcl_jax.runs.predict import FinishedModel
from mpcl_jax.types import groups_in


class Explanation(NamedTuple):
    """What `explain` returns for N rows: the prototypes, emotions and modalities behind the predictions.

    C emotions, G modality groups, K prototypes of one emotion, M modalities. Numbers are means over the seeds; they
    are 0 for a row without any value.
    """

    predicted: np.ndarray  # [N, C] as `predict` returns it
    known: np.ndarray  # [N] bool; False: no value in any modality, the prediction is the mean label
    # [N, G, C, K] weight of each prototype in what the emotions retrieved; sums to 1 over G, C and K.
    prototypes: np.ndarray
    # [N, C, C] weight of each emotion (column) in what an emotion (row) retrieved; rows sum to 1.
    cooccurrence: np.ndarray
    # [N, M] importance of each modality: KL divergence of the prediction without it from the prediction with it, in
    # nats; 0 where it is absent, NaN where it is the only one.
    modality: np.ndarray
    emotions: tuple[str, ...]  # C names
    modalities: tuple[str, ...]  # M names
    modality_groups: tuple[str, ...]  # G names
    written: tuple[str, ...]  # n ids of the trials in the personal memory
    # [N, n] weight of the residual of each, without what is shared with other subjects, in the correction of log p
    written_weight: np.ndarray
    memory: str  # a sentence: whether the personal memory is on, and the reason


def explain(
    models: Sequence[FinishedModel],
    rows: prediction.Rows,
    mean: np.ndarray,
    on_missing: str,
    memories: Memories | None,
    memory: str,
    trial: np.ndarray | None,
) -> Explanation:
    """The explanation of N rows; arguments as in `prediction.shares_of` and `adaptation.adapted`.

    `memory`: the sentence on the personal memory.
    """
    spec, known = models[0].spec, prediction.require_known(rows, on_missing)
    some = rows.take(known)
    groups, names = groups_in(spec.groups), tuple(spec.shapes)
    found = {"predicted": np.tile(mean, (len(known), 1))}
    if known.any():
        seen = seen_by(models, some)
        outputs = [x.output for x in seen]
        log_probs, weight = adapted(memories, seen, None if trial is None else trial[known])
        with_all = prediction.mean_shares(log_probs)
        of_known = {
            "predicted": with_all,
            "prototypes": prediction.mean_tree([x.recall.recalled for x in seen]),
            "cooccurrence": prediction.mean_tree([output.cooccurrence_map for output in outputs]),
            "modality": np.stack([_weight(models, some, m, outputs) for m in names], axis=1),
            "written_weight": weight,
        }
        for name, x in of_known.items():
            found.setdefault(name, np.zeros((len(known), *x.shape[1:])))[known] = x
    c, k = len(spec.emotions), 1
    written = memories.trials if memories else ()
    empty = {"prototypes": (len(groups), c, k), "cooccurrence": (c, c), "modality": (len(names),)}
    empty["written_weight"] = (len(written),)
    found = {name: np.zeros((len(known), *shape)) for name, shape in empty.items()} | found
    return Explanation(
        **found,
        known=known,
        emotions=spec.emotions,
        modalities=names,
        modality_groups=groups,
        written=written,
        memory=memory,
    )


def _weight(models: Sequence[FinishedModel], rows: prediction.Rows, modality: str, outputs) -> np.ndarray:
    """[N] how much the prediction changes without `modality`."""
    present = rows.present.get(modality, np.zeros(len(outputs[0].log_probs), bool))
    weight = np.zeros(len(present))
    others = rows._replace(present=rows.present | {modality: np.zeros(len(present), bool)})
    left = others.known
    weight[present & ~left] = np.nan
    asked = present & left
    if asked.any():
        without = prediction.recalls_of(models, others.take(asked))
        whole = prediction.mean_shares([output.log_probs[asked] for output in outputs])
        weight[asked] = kl(whole, prediction.mean_shares([output.log_probs for output, _ in without]))
    return weight

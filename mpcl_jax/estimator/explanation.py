"""What lies behind predictions of `MPCLRegressor`: retrieved prototypes, co-occurrence, weights of modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.estimator import prediction
from mpcl_jax.estimator.adaptation import Memories, adapted
from mpcl_jax.metrics import kl
from mpcl_jax.runs.predict import FinishedModel
from mpcl_jax.types import groups_in


class Explanation(NamedTuple):
    """N rows; C emotions, G modality groups, K prototypes of one emotion, M modalities. Means over the seeds."""

    predicted: np.ndarray  # [N, C] as `predict` returns it
    known: np.ndarray  # [N] bool; False: no value in any modality, the prediction is the mean label
    prototypes: (
        np.ndarray
    )  # [N, G, C, K] weight of each prototype in what emotions retrieved; sums to 1, or 0
    cooccurrence: (
        np.ndarray
    )  # [N, C, C] what each emotion (row) retrieved from the others; rows sum to 1, or 0
    # [N, M] KL of the prediction without the modality from that with it, in nats; 0 where it is absent, NaN where it
    # is the only one.
    modality: np.ndarray
    emotions: tuple[str, ...]  # C names
    modalities: tuple[str, ...]  # M names
    modality_groups: tuple[str, ...]  # G names
    written: tuple[str, ...]  # ids of the trials in the personal memory


def explain(
    models: Sequence[FinishedModel],
    rows: prediction.Rows,
    mean: np.ndarray,
    on_missing: str,
    memories: Memories | None,
    beta: float,
) -> Explanation:
    """The explanation of N rows; arguments as in `prediction.shares_of`, `memories` as in `adaptation.adapted`."""
    spec, known = models[0].spec, prediction.require_known(rows, on_missing)
    some = rows.take(known)
    groups, names = groups_in(spec.groups), tuple(spec.shapes)
    found = {"predicted": np.tile(mean, (len(known), 1))}
    if known.any():
        seen = prediction.recalls_of(models, some)
        outputs = [output for output, _ in seen]
        with_all = prediction.mean_shares(adapted(memories, outputs, beta))
        of_known = {
            "predicted": with_all,
            "prototypes": prediction.mean_tree([recalled.recalled for _, recalled in seen]),
            "cooccurrence": prediction.mean_tree([output.cooccurrence_map for output in outputs]),
            "modality": np.stack([_weight(models, some, m, outputs) for m in names], axis=1),
        }
        for name, x in of_known.items():
            found.setdefault(name, np.zeros((len(known), *x.shape[1:])))[known] = x
    c, k = len(spec.emotions), 1
    empty = {"prototypes": (len(groups), c, k), "cooccurrence": (c, c), "modality": (len(names),)}
    found = {name: np.zeros((len(known), *shape)) for name, shape in empty.items()} | found
    written = memories.trials if memories else ()
    return Explanation(
        **found,
        known=known,
        emotions=spec.emotions,
        modalities=names,
        modality_groups=groups,
        written=written,
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

"""The evidence for each emotion in a reported distribution, for arrays of NumPy and of JAX; does not import JAX.

The one definition: the simulation, the memory, the losses, the measures of agreement and the audit all read it.
"""

from typing import Any

# A label whose parts above its smallest share sum to less is flat: what is left is rounding of float32.
FLAT = 1e-6


def evidence_of(labels: Any, kind: str = "above_floor") -> Any:
    """The evidence for each emotion: `e_c = (y_c − min y) / Σ`, or the label itself if `kind` is "raw".

    Questionnaire distributions never reach 0, so the raw label would pull every prototype to the common mean.
    `labels` [..., C], an array of NumPy or JAX. Returns an array of the same kind, shape and type: rows sum to 1,
    or to 0 where the label is flat up to rounding (`FLAT`), because a flat label is evidence of nothing.
    """
    if kind == "raw":
        return labels
    where = labels.__array_namespace__().where
    above = labels - labels.min(axis=-1, keepdims=True)
    total = above.sum(axis=-1, keepdims=True)
    clear = total > FLAT
    return where(clear, above / where(clear, total, 1.0), 0.0)


def cooccurrence_of(evidence: Any) -> Any:
    """Σ_n e_n e_nᵀ of evidence [N, C], divided by its sum, [C, C]; zeros where there is no evidence at all."""
    where = evidence.__array_namespace__().where
    pairs = evidence.T @ evidence
    total = pairs.sum()
    return pairs / where(total > 0, total, 1.0)

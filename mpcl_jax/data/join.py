"""From the windows of single subjects or files to one `Recordings`: the same path for every data set on disk."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.issues import Issue, refuse
from mpcl_jax.types import Recordings, take

IDS = ("labels", "trial", "stimulus", "start")  # fields of `Part` with one entry a window


class Part(NamedTuple):
    """The windows of one subject, or of one file of a subject. n is their number."""

    source: Any  # its file or folder, for messages
    subject: str
    labels: np.ndarray  # [n, C], rows sum to 1
    trial: np.ndarray  # [n] str
    stimulus: np.ndarray  # [n] str
    start: np.ndarray  # [n] float64 seconds
    signals: dict[str, np.ndarray]  # m -> [n, T, F] of the modalities it has; NaN: a missing feature
    quality: dict[str, np.ndarray] = {}  # m -> [n] in [0, 1]; 1 where a modality is not named
    unnamed: tuple[str, ...] = ()  # those of "subject" and "trial" that the file does not name


def runs_of(labels: np.ndarray, *ids: np.ndarray) -> np.ndarray:
    """[N] str, the number of the run of neighbouring windows with equal `labels` [N, C] and `ids` [N]."""
    new = (labels[1:] != labels[:-1]).any(1)
    for values in ids:
        new |= values[1:] != values[:-1]
    return np.concatenate([[0], np.cumsum(new)]).astype(str)


def shape_issues(parts: Sequence[Part], modalities: Iterable[str]) -> list[Issue]:
    """Parts of which a modality has other tokens and features than in the first part that has it."""
    issues = []
    for m in modalities:
        having = [part for part in parts if m in part.signals]
        for part in having:
            shape, wanted = part.signals[m].shape[1:], having[0].signals[m].shape[1:]
            if shape != wanted:
                what = f"has {shape} tokens and features, in {having[0].source} it has {wanted}"
                issues.append(Issue(str(part.source), m, what, "extract it alike for all subjects"))
    return issues


def stacked(blocks: Sequence[np.ndarray | None], sizes: Sequence[int], fill: float) -> np.ndarray:
    """All `blocks` [n, ...] in one float32 array; a missing one becomes rows of `fill`, as many as in `sizes`."""
    shape = next(x.shape[1:] for x in blocks if x is not None)
    whole = [np.full((n, *shape), fill) if x is None else x for x, n in zip(blocks, sizes, strict=True)]
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite
        return np.concatenate(whole, dtype=np.float32, casting="unsafe")


def joined(parts: Sequence[Part], groups: dict[str, str], **fields: Any) -> Recordings:
    """The windows of all `parts`, in that order; a modality of `groups` that no part has is left out.

    A window of NaN alone is absent; windows without any modality are left out, and a note counts them. `fields`: the
    other fields of `Recordings`. Raises DataError where the shape of a modality differs between parts.
    """
    refuse(shape_issues(parts, groups))
    sizes = [len(part.labels) for part in parts]
    signals, present, quality = {}, {}, {}
    for m in groups:
        if not any(m in part.signals for part in parts):
            continue
        signals[m] = stacked([part.signals.get(m) for part in parts], sizes, np.nan)
        present[m] = ~np.isnan(signals[m]).all((1, 2))
        signals[m][~present[m]] = 0
        of_parts = [part.quality.get(m, np.ones(n)) for part, n in zip(parts, sizes, strict=True)]
        quality[m] = np.concatenate(of_parts).astype(np.float32) * present[m]
    ids = {name: np.concatenate([getattr(part, name) for part in parts]) for name in IDS}
    ids["labels"] = ids["labels"].astype(np.float32)
    recordings = Recordings(
        groups={m: groups[m] for m in signals},
        signals=signals,
        present=present,
        quality=quality,
        subject=np.repeat([part.subject for part in parts], sizes),
        **ids,
        **fields,
    )
    some = np.any(list(present.values()), axis=0)
    if some.all():
        return recordings
    note = f"{int((~some).sum())} windows left out: no modality is present"
    return take(recordings, some)._replace(notes=(*recordings.notes, note))

"""Features to about mean 0 and sd 1, with statistics that come from the training part alone.

`fit_normalisation` gets the training rows and nothing else, so no statistic can hold a test row.
`standardise_per_subject` is the other, optional step: each subject's own features by that subject's own rows,
which needs the whole recording of a new subject before the first prediction and is noted in every result.

Both centre a feature in float64 and then decide by `CONSTANT` whether it is constant. A constant feature
is 0 afterwards, for every method. A missing feature (NaN) takes part in no statistic; `apply_normalisation`
replaces it by the median of the training part. `notes_on` lists what was missing and what is constant.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mpcl_jax.types import FARTHEST, DataError, Recordings, beyond, feature_name

# Signals are stored as float32, about seven digits. A feature is constant where the standard deviation of its
# centred values is at most this share of its largest absolute value: eight steps of float32, so that what varies
# may be rounding. Unix seconds (1.7e9, in steps of 128 s) over half an hour are such a feature.
CONSTANT = 1e-6
SMALLEST_SPREAD = 1e-30  # at most that: constant too, because float32 sets values near 1e-38 to 0
VALUES = 4_000_000  # about so many are converted to float64 together: whole modalities would cost gigabytes
NAMED = 6  # most features that a note names


class Normalisation(NamedTuple):
    """Statistics of every feature over the training rows in which its modality is present and it is not missing."""

    # m -> [T_m, F_m] float64, in the units of the feature
    mean: dict[str, np.ndarray]  # 0 where the feature is always missing
    std: dict[str, np.ndarray]  # > 0; infinite where the feature is constant: it becomes 0
    median: dict[str, np.ndarray]  # what a missing value is replaced by


def fit_normalisation(train: Recordings) -> Normalisation:
    """Mean, standard deviation and median of each feature of `train`, which is the training part of a fold.

    Raises DataError for a modality that no training row has, as nothing could be learned from it, and for a value
    that is infinite or beyond `types.LARGEST_VALUE`, naming modality and feature.
    """
    _require_usable(train)
    require_present(train, {"": np.arange(len(train.labels))})
    mean, std, median = {}, {}, {}
    for m, x in train.signals.items():
        mean[m], spread = _moments(x, train.present[m])
        std[m] = np.where(spread > 0, spread, np.inf)
        median[m] = _median(x, train.present[m])
    return Normalisation(mean, std, median)


def require_present(recordings: Recordings, training: dict[str, np.ndarray]) -> None:
    """Raises DataError naming the first fold whose training part lacks a modality.

    `training`: name of a fold ("" for the only one) -> rows of its training part. A fold is normalised when its
    training begins, which may be hours after the first; so all are checked before.
    """
    for fold, rows in training.items():
        for m, present in recordings.present.items():
            if not present[rows].any():
                fix = "leave it out with config.data.modalities, or hold out others with config.protocol"
                where = f"{fold}: " if fold else ""
                raise DataError(recordings.name, f"{where}no training window has {m!r}; {fix}")


def apply_normalisation(signals: dict, present: dict, norm: Normalisation) -> dict[str, np.ndarray]:
    """(x − mean) / std of every modality, NaN replaced by the median first, m -> [N, T_m, F_m] float32.

    Rows with `present[m]` [N] False become 0 whatever they hold, even if that is not a number.
    """
    out = {m: np.zeros(x.shape, np.float32) for m, x in signals.items()}
    for m, x in signals.items():
        mean, std, median = (statistic[m].ravel() for statistic in norm)
        flat = out[m].reshape(len(x), math.prod(x.shape[1:]))
        for columns, here in _blocks(x, present[m]):
            known = np.where(np.isnan(here), median[columns], here)
            with np.errstate(over="ignore"):  # a value far outside the training part may become infinite
                flat[present[m], columns] = (known - mean[columns]) / std[columns]
    return out


def standardise_per_subject(recordings: Recordings) -> Recordings:
    """The same recordings with each subject's features z-scored over that subject's own windows.

    Labels play no part. A feature that is constant within a subject, and every feature of a modality of which
    the subject has a single window, becomes 0; a missing value stays missing. The notes gain the sentence that
    readers of results need, and the features that are constant within a subject. Raises DataError for a value
    that is infinite or beyond `types.LARGEST_VALUE`, naming modality and feature.
    """
    _require_usable(recordings)
    signals, constant = standardised(recordings.signals, recordings.present, recordings.subject)
    note = (
        "The features of each subject were standardised with the whole recording of that subject (no labels): a new "
        "subject must be recorded before the first prediction."
    )
    within = [f"within at least one subject, {text}" for text in _constant_notes(constant)]
    return recordings._replace(signals=signals, notes=(*recordings.notes, note, *within))


def standardised(signals: dict, present: dict, subject: np.ndarray) -> tuple[dict, dict[str, np.ndarray]]:
    """Signals m -> [N, T_m, F_m] float32, z-scored over the windows of each `subject` [N] alone.

    Also m -> [T_m, F_m] bool, the features that are constant over several windows of at least one subject.
    """
    out = {m: np.zeros(x.shape, np.float32) for m, x in signals.items()}
    constant = {m: np.zeros(x.shape[1:], bool) for m, x in signals.items()}
    for name in np.unique(subject):
        for m, x in signals.items():
            own = (subject == name) & present[m]
            if own.sum() < 2:
                continue
            mean, spread = _moments(x, own)
            out[m][own] = np.where(spread > 0, (x[own] - mean) / np.where(spread > 0, spread, 1), 0)
            constant[m] |= spread == 0
    return out, constant


class FarValue(NamedTuple):
    """A value that float32 cannot hold after normalisation by training rows without such values."""

    row: int
    place: str  # modality and feature
    what: str  # value and typical range, in words


def far_values(recordings: Recordings) -> Iterator[FarValue]:
    """The farthest value of each feature in which some value is wrong by many orders of magnitude.

    Its distance from the median of the feature is more than `FARTHEST` times the median of all such distances above
    0, and at most half of the subjects have such a value (half of the trials where there is one subject, half of the
    stimuli for a modality of the stimulus), so that a training part may lack it. No label and no split takes part.
    """
    for m, x in recordings.signals.items():
        if not (here := recordings.present[m]).any():
            continue
        owner = recordings.subject if len(set(recordings.subject)) > 1 else recordings.trial
        owner = (recordings.stimulus if m in recordings.of_stimulus else owner)[here]
        rows = np.flatnonzero(here)
        middle = _median(x, here).ravel()
        for columns, block in _blocks(x, here):
            away = np.nan_to_num(np.abs(block.astype(np.float64) - middle[columns]))
            nearest = np.min(away, axis=0, initial=np.inf, where=away > 0)
            for column in np.flatnonzero(away.max(0, initial=0) > FARTHEST * nearest):
                own = away[:, column]
                far = own > FARTHEST * (typical := np.median(own[own > 0]))
                if far.any() and 2 * len(set(owner[far])) <= len(set(owner)):
                    row, at = int(own.argmax()), columns.start + int(column)
                    value = f"is {block[row, column]:g}; typical values are {middle[at]:.3g} ± {typical:.3g}"
                    name = feature_name(x.shape[1:], *divmod(at, x.shape[2]))
                    yield FarValue(int(rows[row]), f"{m}: {name}", value)


def notes_on(recordings: Recordings) -> tuple[str, ...]:
    """How many values are missing and which features are constant in all windows.

    A description for the reader, of training and test windows together: nothing else reads it.
    """
    notes, constant = [], {}
    for m, x in recordings.signals.items():
        here = recordings.present[m]
        if here.any():
            constant[m] = _moments(x, here)[1] == 0
        missing = np.isnan(x) & here[:, None, None]
        if missing.any():
            windows, of = int(missing.any((1, 2)).sum()), int(here.sum())
            values = of * math.prod(x.shape[1:])
            count = f"{int(missing.sum())} of {values} values are missing, in {windows} of {of} windows"
            notes.append(f"{m}: {count}; each is replaced by the median of its feature in the training part")
    return (*notes, *_constant_notes(constant))


def notes_on_fold(norm: Normalisation) -> tuple[str, ...]:
    """Which features are constant in the training part that `norm` was fitted on."""
    return _constant_notes({m: np.isinf(std) for m, std in norm.std.items()})


def _constant_notes(constant: dict[str, np.ndarray]) -> tuple[str, ...]:
    """One sentence for each modality m with a feature where `constant[m]` [T, F] is True."""
    notes = []
    for m, where in constant.items():
        names = [feature_name(where.shape, *place) for place in np.argwhere(where)]
        if names:
            shown = "; ".join(names[:NAMED] + ["..."] * (len(names) > NAMED))
            count = f"{len(names)} of {where.size} features have one value at most, up to rounding of float32"
            notes.append(f"{m}: {count}, and are 0 for every method ({shown})")
    return tuple(notes)


def design_matrix(recordings: Recordings, norm: Normalisation) -> np.ndarray:
    """What the baselines see: all normalised features side by side, [N, P] float32.

    Absent modalities are 0; each modality that some row lacks adds a column that is 1 where it is present. Pass
    the whole data set and select rows afterwards, so that both parts of a fold have the same columns.
    """
    z = apply_normalisation(recordings.signals, recordings.present, norm)
    columns = [x.reshape(len(x), -1) for x in z.values()]
    columns += [here[:, None].astype(np.float32) for here in recordings.present.values() if not here.all()]
    return np.concatenate(columns, 1)


def columns_of(recordings: Recordings) -> dict[str, tuple[tuple[int, ...], int | None]]:
    """Where each modality stands in the design matrix: its feature columns, and that of its presence or None."""
    sizes = {m: int(np.prod(x.shape[1:])) for m, x in recordings.signals.items()}
    features, begin = {}, 0
    for m, size in sizes.items():
        features[m] = tuple(range(begin, begin + size))
        begin += size
    lacking = [m for m, here in recordings.present.items() if not here.all()]
    return {m: (features[m], begin + lacking.index(m) if m in lacking else None) for m in sizes}


def _require_usable(recordings: Recordings) -> None:
    """Raises DataError for a value that float32 cannot normalise: it would be 0 or not finite for MPCL alone."""
    for m, x in recordings.signals.items():
        here = recordings.present[m]
        if (beyond(x)[0] & here).any():
            raise DataError(recordings.name, f"{m}: {beyond(x[here])[1]}")


def _blocks(x: np.ndarray, rows: np.ndarray):
    """The `rows` (mask) of `x` [N, T, F] in blocks of columns: (columns of `x` as [N, T * F], values [n, columns]).

    A block has at least two columns where `x` has: NumPy adds a single one in another order.
    """
    width = math.prod(x.shape[1:])
    flat = x.reshape(len(x), width)
    count = max(1, min(math.ceil(flat.size / VALUES), width // 2))
    edges = [width * i // count for i in range(count + 1)]
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        yield slice(begin, end), flat[rows, begin:end]


def _moments(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of the `rows` (mask) of `x` [N, T, F] without NaN, [2, T, F]; 0 where constant."""

    def of_block(x):
        known = ~np.isnan(x)
        x[~known] = 0
        count = np.maximum(known.sum(0), 1)
        largest = np.abs(x).max(0)
        mean = x.sum(0) / count
        spread = np.sqrt((np.where(known, x - mean, 0) ** 2).sum(0) / count)
        return mean, np.where(spread > np.maximum(CONSTANT * largest, SMALLEST_SPREAD), spread, 0)

    blocks = [of_block(block.astype(np.float64)) for _, block in _blocks(x, rows)]
    return np.concatenate(blocks, axis=1).reshape(2, *x.shape[1:])


def _median(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Median of the `rows` (mask) of `x` [N, T, F] without NaN, [T, F] float64; 0 where there is nothing else."""
    medians = []
    for _, block in _blocks(x, rows):
        medians.append(np.median(block, axis=0).astype(np.float64))
        for column in np.flatnonzero(np.isnan(medians[-1])):
            known = block[~np.isnan(block[:, column]), column]
            medians[-1][column] = np.median(known) if len(known) else 0.0
    return np.concatenate(medians).reshape(x.shape[1:])

"""Features to about mean 0 and sd 1, with statistics that come from the training part alone.

`fit_normalisation` is handed the training rows and nothing else, so no statistic can hold a test row.
`standardise_per_subject` is the other, optional step: each person's own features by that person's own rows,
which needs the whole recording of a new person before the first prediction and therefore announces itself.
"""

from typing import NamedTuple

import numpy as np

from mpcl_jax.batch import DataFileError, Recordings

# Below this share of its largest value a spread is rounding of float32, not a signal.
ROUNDING = 1e-6


class Normalisation(NamedTuple):
    """Statistics of every feature over the training rows in which its modality is present."""

    mean: dict[str, np.ndarray]  # m -> [T_m, F_m] float64, in the units of the feature
    std: dict[str, np.ndarray]  # m -> [T_m, F_m] float64, > 0; 1 where the feature is constant


def fit_normalisation(train: Recordings) -> Normalisation:
    """Mean and standard deviation of each feature of `train`, which is the training part of a fold.

    Raises DataFileError for a modality that no training row has: nothing could be learned of it.
    """
    mean, std = {}, {}
    for m, x in train.signals.items():
        if not train.present[m].any():
            raise DataFileError(
                train.name, f"no training window has {m!r}; leave it out with config.data.modalities"
            )
        mean[m], spread = _moments(x[train.present[m]])
        std[m] = np.where(spread > 0, spread, 1)
    return Normalisation(mean, std)


def apply_normalisation(signals: dict, present: dict, norm: Normalisation) -> dict[str, np.ndarray]:
    """(x − mean) / std of every modality, m -> [N, T_m, F_m] float32.

    Rows with `present[m]` [N] False become 0 whatever they hold, even if that is not a number.
    """
    out = {m: np.zeros(x.shape, np.float32) for m, x in signals.items()}
    for m, x in signals.items():
        here = present[m]
        out[m][here] = (x[here] - norm.mean[m]) / norm.std[m]
    return out


def standardise_per_subject(recordings: Recordings) -> Recordings:
    """The same recordings with each person's features z-scored over that person's own windows.

    Labels play no part. A feature that is constant within a person, and every feature of a modality of which
    the person has a single window, becomes 0. The notes gain the sentence that readers of results need.
    """
    signals = {m: np.zeros(x.shape, np.float32) for m, x in recordings.signals.items()}
    for name in np.unique(recordings.subject):
        rows = recordings.subject == name
        for m, x in recordings.signals.items():
            own = rows & recordings.present[m]
            if own.sum() < 2:
                continue
            mean, spread = _moments(x[own])
            signals[m][own] = np.where(spread > 0, (x[own] - mean) / np.where(spread > 0, spread, 1), 0)
    note = (
        "Each person's features were standardised with that person's whole recording (no labels): a new person "
        "must be recorded before the first prediction."
    )
    return recordings._replace(signals=signals, notes=(*recordings.notes, note))


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


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of `x` [n, T, F] over its rows; 0 spread where only rounding varies."""
    x = x.astype(np.float64)
    spread = x.std(0)
    return x.mean(0), np.where(spread > ROUNDING * np.abs(x).max(0), spread, 0)

"""The one check that all windows of a trial have the same report."""

from typing import Any

import numpy as np

from mpcl_jax.types import DataError

ROUNDING = 1e-4  # shares that differ by less are the same report


def require_one_report(
    source: Any, labels: np.ndarray, trial: np.ndarray, subject: np.ndarray | None
) -> None:
    """Raises DataError naming `source`, subject, trial and two rows where a trial has two different reports.

    `labels` [N, C] shares · `trial` [N] ids, unique over all subjects · `subject` [N] ids, or None for a single one.
    """
    _, first, of_row = np.unique(trial, return_index=True, return_inverse=True)
    first = first[of_row]
    other = (np.abs(labels - labels[first]) > ROUNDING).any(1)
    if other.any():
        row = int(other.argmax())
        place = "" if subject is None else f"subject {str(subject[row])!r}, "
        raise DataError(
            source,
            f"{place}trial {str(trial[row])!r}: rows {first[row]} and {row} have different reports, but a trial has "
            "one report; correct the row, or give each report its own trial id",
        )

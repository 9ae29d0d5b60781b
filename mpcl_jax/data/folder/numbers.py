"""Numbers of a user's own files that float32, with which a run computes, cannot tell apart."""

from pathlib import Path

import numpy as np

from mpcl_jax.types import DataFileError

# Share of its largest value below which the spread of a feature is rounding of float64: the feature is constant.
SAME_FLOAT64 = 1e-12


def refuse_rounded(file: Path, m: str, x: np.ndarray, present: np.ndarray) -> None:
    """Refuses features whose differences are smaller than the rounding of float32, with which a run computes."""
    if x.ndim not in (2, 3) or not x.size or x.dtype.kind not in "iuf" or not present.any():
        return
    flat = np.ma.masked_invalid(x[present].reshape(-1, x.shape[-1]).astype(np.float64))
    spread, largest = flat.std(0).filled(0), np.abs(flat).max(0).filled(0)
    with np.errstate(over="ignore"):  # what does not fit float32 is refused elsewhere
        step = np.spacing(largest.astype(np.float32)).astype(np.float64)
    lost = (spread < step) & (spread > SAME_FLOAT64 * largest)
    if lost.any():
        column = int(lost.argmax())
        raise DataFileError(
            file,
            f"{m!r}, feature {column} (of {int(lost.sum())} such features): its values of about "
            f"{largest[column]:.6g} vary by {spread[column]:.3g}, less than the rounding of float32 "
            f"({step[column]:.3g}); subtract a constant from it, e.g. its first value",
        )

"""The row of labels in a WESAD pickle: which condition is on at every moment."""

from collections import Counter
from typing import Any

import numpy as np

from mpcl_jax.types import DataFileError

LABEL_RATE = 700  # Hz, of the labels and of the chest
GRID = 4  # Hz, the slowest signal: windows begin and end on its samples
CODES = {"Base": 1, "TSST": 2, "Fun": 3, "Medi 1": 4, "Medi 2": 4}  # condition -> code in `label`


def voted_seconds(signals: Any, rates: dict[tuple[str, str], int]) -> float | None:
    """How long most signals of a pickle last; None where no two, or no majority of them, agree.

    `rates`: (place, key) -> Hz. What deviates from the majority is the part to blame.
    """
    lengths = Counter()
    for (place, key), rate in rates.items():
        of_place = signals.get(place) if isinstance(signals, dict) else None
        x = of_place.get(key) if isinstance(of_place, dict) else None
        if isinstance(x, np.ndarray) and x.ndim:
            lengths[len(x) / rate] += 1
    seconds, votes = lengths.most_common(1)[0] if lengths else (None, 0)
    return seconds if votes > max(1, lengths.total() / 2) else None


def check_label(label, file: str, seconds: float | None = None) -> np.ndarray:
    """`label` if it is a row of whole numbers [700 T], of as many `seconds` as the signals last, if that is known.

    Raises DataFileError otherwise.
    """
    if not isinstance(label, np.ndarray) or label.ndim != 1 or label.dtype.kind not in "iu":
        raise DataFileError(file, "'label' is not a row of whole numbers")
    if seconds and abs(len(label) / LABEL_RATE - seconds) >= 1:
        raise DataFileError(
            file,
            f"'label' has {len(label)} samples for {seconds:g} s of signals = {len(label) / seconds:.4g} per second; "
            f"wanted {LABEL_RATE} per second; unpack the official archive again",
        )
    if len(label) == 0 or len(label) % LABEL_RATE:
        raise DataFileError(
            file, f"'label' has {len(label)} samples; wanted whole seconds of {LABEL_RATE}; is the file cut?"
        )
    return label


def label_runs(label: np.ndarray, file: str) -> list[tuple[int, int, int]]:
    """(code, first, last) of the five conditions in time order, in whole samples of GRID inside them."""
    edges = np.flatnonzero(np.diff(label)) + 1
    bounds = zip(np.r_[0, edges], np.r_[edges, len(label)], strict=True)
    ratio = LABEL_RATE // GRID
    runs = [(int(label[a]), -(-int(a) // ratio), int(b) // ratio) for a, b in bounds if 1 <= label[a] <= 4]
    codes = [code for code, _, _ in runs]
    if sorted(codes) != sorted(CODES.values()):
        raise DataFileError(
            file, f"its label runs have the codes {codes}; wanted one run of 1, 2 and 3 and two runs of 4"
        )
    return runs

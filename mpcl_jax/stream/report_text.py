"""A self-report as text: JSON of the page, of a line on stdin or of a marker stream."""

import json
from collections.abc import Sequence

import numpy as np

LARGEST = 1e6  # of a rating; the sum of a report stays far inside float32


def label_of(text: str | bytes, emotions: Sequence[str]) -> np.ndarray:
    """The label [C] float32, >= 0 with at least one value above 0, of a report as JSON.

    Either a list of C numbers in the order of `emotions`, or an object with a number for each named emotion and 0 for
    the others: `[0, 3, 1]` or `{"amusement": 3, "calm": 1}`.
    Raises ValueError in one line for other text.
    """
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("the report is not JSON") from error
    if isinstance(report, dict):
        if unknown := [name for name in report if name not in emotions]:
            raise ValueError(f"the report names {unknown[0]!r}; the emotions are {', '.join(emotions)}")
        report = [report.get(name, 0) for name in emotions]
    if not isinstance(report, list):
        raise ValueError("the report is neither a list of numbers nor an object of emotions and numbers")
    if len(report) != len(emotions):
        raise ValueError(f"the report has {len(report)} numbers; the model has {len(emotions)} emotions")
    for name, value in zip(emotions, report, strict=True):
        if type(value) not in (int, float) or not 0 <= value <= LARGEST:
            raise ValueError(f"the value of {name!r} is not a number from 0 to {LARGEST:.0f}")
    label = np.array(report, np.float32)
    if not label.any():
        raise ValueError("every value of the report is 0; at least one must be above 0")
    return label

"""An issue of a data set in words: where it is, what is wrong, what to do.

The loaders refuse the first issue that they meet (`refuse`). The validators (`mpcl_jax.data.validate`) run the same
checks and list all issues, and they also name what a loader has no reason to refuse, such as a sensor that was off.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.types import DataError

SAME_SUBJECT = "keep one of them: one subject may not count as two"  # what to do about a copy


class Issue(NamedTuple):
    """One thing that is wrong."""

    file: str
    place: str  # row, key or channel, "" for the file as a whole
    what: str
    fix: str  # one line: what to do


class Summary(NamedTuple):
    """What a data set holds, as far as it could be read."""

    subjects: int
    windows: int
    modalities: dict[str, str]  # modality -> group
    emotions: tuple[str, ...]
    missing: tuple[str, ...]  # what is not there and need not be
    notes: tuple[str, ...] = ()  # what a run notes about the features: missing values, constant features


class Examined(NamedTuple):
    """The result of a validator."""

    issues: tuple[Issue, ...]
    summary: Summary


def refuse(issues: Iterable[Issue]) -> None:
    """Raises the first of `issues` as DataError: "place: what; fix"."""
    for issue in issues:
        place = f"{issue.place}: " if issue.place else ""
        raise DataError(issue.file, f"{place}{issue.what}; {issue.fix}")


def as_issue(error: DataError, fix: str = "correct the file or leave it out") -> Issue:
    """The refusal of a loader, which ends in what to do after its last semicolon; `fix` where it does not."""
    what, _, advice = error.reason.rpartition("; ")
    return Issue(error.file, "", what, advice) if what else Issue(error.file, "", error.reason, fix)


def attempt(issues: list[Issue], function: Callable, *args: Any) -> Any:
    """`function(*args)`; a refusal is added to `issues` and None returned."""
    try:
        return function(*args)
    except DataError as error:
        issues.append(as_issue(error))
        return None


def row_issue(file: Any, key: str, bad: np.ndarray, what: str, fix: str, names=None) -> list[Issue]:
    """One issue that names the rows where `bad` [N] is True; none if there are none.

    `names` [N] are those of the rows, default their numbers.
    """
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    shown = [str(x) for x in (rows if names is None else names[rows])[:5]]
    word = ("row " if len(rows) == 1 else "rows ") if names is None else ""
    count = f", … ({len(rows)} in all)" if len(rows) > 5 else ""
    return [Issue(str(file), f"{key}, {word}{', '.join(shown)}{count}", what, fix)]


def label_issues(file: Any, key: str, labels: np.ndarray, names: np.ndarray | None = None) -> list[Issue]:
    """Rows of ratings or shares [n, C] that cannot become a distribution; `names` [n] as in `row_issue`."""
    finite = np.isfinite(labels).all(1)
    clean = np.where(np.isfinite(labels), labels, 0)
    nothing = finite & (clean >= 0).all(1) & ~(clean > 0).any(1)
    kinds = (
        (~finite, "not finite", "ask for the missing answers or leave these rows out"),
        ((clean < 0).any(1), "negative", "give strengths from 0 upwards"),
        (nothing, "no emotion is above 0", "leave rows without a report out"),
    )
    return [issue for bad, what, fix in kinds for issue in row_issue(file, key, bad, what, fix, names)]


def digest_of(arrays: Iterable[np.ndarray]) -> str:
    """sha256 of the numbers in `arrays`, "" without arrays: equal for one recording saved under two names."""
    arrays, digest = list(arrays), hashlib.sha256()
    for x in arrays:
        digest.update(f"{x.shape}".encode())
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest() if arrays else ""


def duplicate_issues(digests: dict[str, str], what: str, fix: str) -> list[Issue]:
    """Files that hold the same: `digests` file -> `digest_of` its numbers ("" = nothing to compare)."""
    first: dict[str, str] = {}
    again = {file: first.setdefault(digest, file) for file, digest in digests.items() if digest}
    return [Issue(x, "", f"holds the same {what} as {y}", fix) for x, y in again.items() if x != y]

"""Recordings from a pandas DataFrame, one row a window."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mpcl_jax.data.tables.arguments import RECORDINGS, refuse_arguments
from mpcl_jax.data.tables.arrays import Labels, from_arrays
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import DataError, Recordings


@refuse_arguments(RECORDINGS)
def from_dataframe(
    frame: Any,
    *,
    labels: Sequence[str],
    modalities: Mapping[str, Sequence[str]],
    subject: str,
    trial: str | None = None,
    stimulus: str | None = None,
    start: str | None = None,
    modality_groups: Mapping[str, str] | None = None,
    valence: Mapping[str, str] | Sequence[str] | None = None,
    label_kind: Labels = "auto",
    floor: float | None = None,
    name: str = "table",
    window_seconds: float = math.nan,
) -> Recordings:
    """Recordings from a pandas DataFrame with one row per window::

        columns = {"eda": ["eda_mean", "eda_sd"], "face": ["smile", "frown"]}
        data = mpcl.from_dataframe(df, labels=["joy", "fear"], modalities=columns, subject="sid", trial="clip")

    Args:
        frame: the table. Its index is not used.
        labels: the C columns with the reports of the emotions, 2 or more.
        modalities: modality -> its columns of numbers. An empty cell is a missing value.
        subject: the column of the ids of the subjects.
        trial: the column of the ids of the trials, unique within a subject.
        stimulus: the column of the ids of the clips or conditions.
        start: the column of the seconds from the beginning of the trial.

    The other arguments are those of `from_arrays`. Raises DataError in one line that names the column, the first
    wrong row and what to do.
    """
    if not hasattr(frame, "iloc"):
        path = isinstance(frame, str | os.PathLike)
        how = "pandas.read_csv(file)" if path else "frame.to_pandas()"
        reason = f"is {type(frame).__name__}; wanted a pandas DataFrame ({how}), or use from_arrays"
        raise DataError("frame", reason)
    if not isinstance(modalities, Mapping) or not modalities:
        raise DataError("modalities", f"is {modalities!r}; wanted a dict, modality -> its columns")
    labels = _column_names("labels", labels)
    columns = {m: _column_names(f"modalities[{m!r}]", wanted) for m, wanted in modalities.items()}
    ids = {"subject": subject, "trial": trial, "stimulus": stimulus, "start": start}
    for column in [*labels, *(x for wanted in columns.values() for x in wanted), *ids.values()]:
        if column is not None:
            require_column(frame, column)
    used = [x for wanted in (labels, *columns.values(), set(ids.values()) - {None}) for x in wanted]
    if (double := next((x for x in used if used.count(x) > 1), None)) is not None:
        raise DataError(
            f"column {double!r}", "is used twice, in labels, modalities or ids; no feature may be one of them"
        )
    return from_arrays(
        {m: column_block(frame, wanted) for m, wanted in columns.items()},
        column_block(frame, list(labels)),
        **{key: None if column is None else frame[column].to_numpy() for key, column in ids.items()},
        modality_groups=modality_groups,
        emotions=[str(x) for x in labels],
        valence=valence,
        label_kind=label_kind,
        floor=floor,
        name=name,
        window_seconds=window_seconds,
    )


def _column_names(argument: str, names: Any) -> list:
    if isinstance(names, str):
        return [names]
    if not isinstance(names, Iterable):
        raise DataError(argument, f"is {names!r}; wanted a list of columns")
    return list(names)


def column_block(frame: Any, columns: Sequence[str]) -> Any:
    """The `columns` of `frame` as float64 [N, F]. Raises DataError naming the first column that holds no numbers."""
    for column in columns:
        require_column(frame, column)
        kind = frame[column].dtype
        if getattr(kind, "kind", "O") not in "biuf":
            first = next((x for x in frame[column] if isinstance(x, str)), None)
            shown = f", e.g. {first!r}" if first is not None else ""
            raise DataError(f"column {column!r}", f"holds {kind}{shown}; wanted numbers, empty where missing")
    return frame[list(columns)].to_numpy("float64", na_value=math.nan)


def require_column(frame: Any, column: Any) -> None:
    """Raises DataError, with the nearest name, where `frame` lacks `column` or has it twice."""
    names = list(frame.columns)
    if hasattr(column, "iloc") or isinstance(column, list):
        raise DataError(f"a {type(column).__name__}", "was given in place of the name of a column")
    if names.count(column) == 1:
        return
    if column in names:
        raise DataError(f"column {column!r}", "is there twice; rename one")
    raise DataError(f"column {column!r}", f"is not in the table; {suggestion(str(column), names)}")

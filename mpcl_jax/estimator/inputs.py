"""How `MPCLRegressor` reads X: a dict of arrays, one array, or a DataFrame, as the signals of each modality."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.tables.frames import column_block
from mpcl_jax.data.tables.raw_signals import features_of, rates_of
from mpcl_jax.data.tables.read_arrays import numbers, tokens
from mpcl_jax.types import DataError

ONLY = "features"  # the modality of one array without a division into modalities


class Layout(NamedTuple):
    """What X was in `fit`; `predict` reads X in the same way. Recordings count as a dict."""

    form: str  # "dict", "array" or "columns": one table whose columns are divided into modalities
    columns: dict[str, tuple]  # modality -> names or numbers of its columns, for "columns" alone
    rates: dict[str, float]  # modality -> samples per second, of raw signals that become features
    kinds: dict[str, str]  # the same modality -> kind of signal, of which the features follow
    names: dict[str, tuple[str, ...]]  # modality -> names of its features, where they are known


OF_RECORDINGS = Layout("dict", {}, {}, {}, {})


def layout_of(
    X: Any, modalities: Mapping[str, Sequence] | None, rates: Any, kinds: Mapping[str, str] | None, raw: bool
) -> Layout:
    """The layout of the X of `fit`. Raises DataError naming the argument that is wrong.

    `modalities`: modality -> its columns, for one table · `rates`: samples per second, one number or modality ->
    number · `kinds`: modality -> kind of its raw signal · `raw` keeps samples as they are.
    """
    if isinstance(X, Mapping):
        if modalities is not None:
            raise DataError("modalities", "divides one table into modalities; X is a dict, leave it out")
        if not X or any(not isinstance(m, str) or not m for m in X):
            raise DataError("X", f"has the keys {list(X)}; wanted names of modalities")
        signals = {m: tokens(f"X[{m!r}]", x) for m, x in X.items()}
        known, kinds = rates_of(signals, rates, kinds, raw, "X")
        return Layout("dict", {}, known, kinds, {m: _names_of(x) for m, x in X.items()})
    if modalities is None:
        x = X if getattr(X, "ndim", 2) == 3 else None
        known, kinds = rates_of({} if x is None else {ONLY: tokens("X", x)}, rates, kinds, raw, "X")
        return Layout("array", {}, known, kinds, {ONLY: _names_of(X)})
    if not isinstance(modalities, Mapping) or not modalities:
        raise DataError("modalities", f"is {modalities!r}; wanted a dict, modality -> its columns")
    rates_of({}, rates, kinds, raw, "X")
    columns = {m: _column_list(m, c) for m, c in modalities.items()}
    used = [c for own in columns.values() for c in own]
    if empty := [m for m, own in columns.items() if not own]:
        raise DataError("modalities", f"gives no column to {empty[0]!r}")
    if double := next((c for c in used if used.count(c) > 1), None):
        raise DataError("modalities", f"gives the column {double!r} to two modalities")
    return Layout("columns", columns, {}, {}, {m: tuple(map(str, own)) for m, own in columns.items()})


def signals_of(X: Any, layout: Layout) -> dict[str, np.ndarray]:
    """The signals of each modality, m -> [N, T, F] float32; raw ones as features [N, 1, F].

    Modalities may be left out of a dict, not columns of a table. Raises DataError naming array, column and row.
    """
    form = layout.form
    if form == "dict" and not X:
        raise DataError("X", "is empty; wanted a dict, modality -> array")
    if form == "columns":
        return {m: tokens(f"X, {m}", _columns(X, m, own)) for m, own in layout.columns.items()}
    held = X if form == "dict" else {ONLY: X}
    given = {
        m: tokens(f"X[{m!r}]" if form == "dict" else "X", _by_name(m, x, layout)) for m, x in held.items()
    }
    counts = {m: len(x) for m, x in given.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            "X", f"has {', '.join(f'{n} rows in {m}' for m, n in counts.items())}; wanted equal numbers"
        )
    rates, kinds = layout.rates, layout.kinds
    return {m: features_of(f"X[{m!r}]", x, rates[m], kinds[m]) if m in rates else x for m, x in given.items()}


def require_form(X: Any, layout: Layout, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Raises DataError, with what to give instead, where X is a dict and `fit` got a table, or the other way round.

    `shapes`: modality -> (T, F) of the model.
    """
    if isinstance(X, Mapping) == (layout.form == "dict"):
        return
    if layout.form == "dict":
        got = "a dict" if layout.names else "recordings"
        each = ", ".join(f"{m!r}: {_shown(m, shape, layout)}" for m, shape in shapes.items())
        wanted = f"{got}; give a dict, modality -> its columns in the order of fit: {{{each}}}"
    else:
        columns = [str(c) for own in (layout.columns or layout.names).values() for c in own]
        which = f" with the columns {', '.join(columns)}" if columns else ""
        wanted = f"one table or array; give one{which}"
    raise DataError("X", f"is {type(X).__name__}; fit got {wanted}")


def require_shapes(signals: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, int]]) -> None:
    """Raises DataError where `signals` m -> [N, T, F] have a modality or a shape that `fit` did not get."""
    for m, x in signals.items():
        name = "X" if m == ONLY else f"X[{m!r}]"
        if m not in shapes:
            raise DataError(name, f"is an unknown modality; fit got {', '.join(shapes)}")
        if x.shape[1:] != shapes[m]:
            (t, f), (wanted_t, wanted_f) = x.shape[1:], shapes[m]
            raise DataError(
                name, f"has {t} × {f} values per row (time × features); fit got {wanted_t} × {wanted_f}"
            )


def _by_name(modality: str, x: Any, layout: Layout) -> Any:
    """The columns of the DataFrame `x` in the order of `fit`, if `fit` got names too."""
    names, held = layout.names.get(modality, ()), list(map(str, getattr(x, "columns", ())))
    if not names or not held or held == list(names):
        return x
    for name in (name for name in names if held.count(name) != 1):
        raise DataError(
            f"X[{modality!r}]", f"has {held.count(name)} columns {name!r}; fit got {', '.join(names)}"
        )
    order = [held.index(name) for name in names]
    return x.iloc[:, order] if hasattr(x, "iloc") else np.asarray(x)[:, order]


def _column_list(modality: str, columns: Any) -> tuple:
    if isinstance(columns, str | int):
        return (columns,)
    try:
        return tuple(columns)
    except TypeError:
        raise DataError(f"modalities[{modality!r}]", f"is {columns!r}; wanted a list of columns") from None


def _shown(modality: str, shape: tuple[int, int], layout: Layout) -> str:
    """What a dict holds for the modality, e.g. "[N, 2]"."""
    if modality in layout.rates:
        return "[N, samples, channels]"
    return f"[N, {shape[1]}]" if shape[0] == 1 else f"[N, {shape[0]}, {shape[1]}]"


def _columns(X: Any, modality: str, columns: tuple) -> Any:
    if hasattr(X, "iloc"):
        return column_block(X, list(columns))
    x, names = numbers("X", X), list(getattr(X, "columns", ()))  # names: of Polars
    if x.ndim != 2:
        raise DataError("X", f"has shape {x.shape}; wanted [windows, columns]")
    columns = tuple(names.index(c) if c in names else c for c in columns)
    for column in columns:
        whole = isinstance(column, int | np.integer) and not isinstance(column, bool)
        if not whole or not -x.shape[1] <= column < x.shape[1]:
            raise DataError(
                f"modalities[{modality!r}]", f"names column {column!r}; X is an array of {x.shape[1]} columns"
            )
    return x[:, list(columns)]


def _names_of(x: Any) -> tuple[str, ...]:
    return tuple(map(str, getattr(x, "columns", ())))

"""Renders a CSV file of experiments/results as Markdown or LaTeX.

    python -m experiments.shared.render wesad_loso
    python -m experiments.shared.render wesad_loso --format latex methods=train_mean,ridge,MPCL
    python -m experiments.shared.render overview wesad_loso="WESAD" simulated="simulated"

The overview has a line per data set, FILE=title.

The columns of the file determine the form: a table of methods, a series of tables (a line per case, a column per
method), the statistics of methods, the pairs of the first method, differences, or the columns as they are. Options:

    methods=a,b    only these methods, in this order      columns=a,b    only these columns
    measures=all   all six measures                       where=a:b      only rows whose column `a` is `b`
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence

import pandas as pd

from experiments.shared import text_cells
from mpcl_jax.config.schema import BASELINES, ORACLES
from mpcl_jax.evaluation import statistics_text, table_text, written_trials
from mpcl_jax.evaluation.leaderboard import CONSTANTS, METHOD, OF_IDS, REFERENCE
from mpcl_jax.evaluation.number_text import count_of, decimal, interval, shown_name
from mpcl_jax.evaluation.ranking import focus_of
from mpcl_jax.system.output import any_output
from mpcl_jax.types import DataError

RESULTS = pathlib.Path(__file__).parents[1] / "results"
PREDECESSORS = ("emotion_dict", "helo", "helo_sinkhorn")
NOT_CLASSICAL = (*CONSTANTS, *OF_IDS, *ORACLES, "mlp", *PREDECESSORS)
OPTIONS = ("methods", "columns", "where", "measures")


def read(name: str) -> pd.DataFrame:
    """The rows of NAME.csv behind its first line. Raises DataError where it is missing."""
    file = RESULTS / f"{name}.csv"
    if not file.exists():
        raise DataError(file, "does not exist")
    return pd.read_csv(file, skiprows=1, keep_default_na=False, na_values=["nan", ""])


def rendered(name: str, options: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """Text cells and caption of NAME.csv, or of the overview of several files. Raises DataError."""
    if name == "overview":
        return overview(options)
    if unknown := [key for key in options if key not in OPTIONS]:
        raise DataError(name, f"unknown option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    frame = read(name)
    if "where" in options:
        column, _, value = options["where"].partition(":")
        frame = frame[_column(name, frame, column).astype(str) == value]
    if "columns" in options:
        frame = frame[[_column(name, frame, column).name for column in options["columns"].split(",")]]
    if "methods" in options:
        frame = _only(name, frame, options["methods"].split(","))
    return cells_of(name, frame, options.get("measures") == "all")


def cells_of(name: str, frame: pd.DataFrame, all_measures: bool = False) -> tuple[pd.DataFrame, str]:
    """Text cells and caption, in the form that the columns determine."""
    columns = list(frame.columns)
    if {"method", "kl", "split", "kl_low"} <= set(columns):
        measures = tuple(table_text.HEADS) if all_measures else table_text.SHORT
        frame = frame.sort_values("method", key=lambda x: x.isin(ORACLES), kind="stable")
        return table_text.cells_of(frame, measures), f"{table_text.caption_of(frame)} {table_text.BOLD}"
    if "mean_rank" in columns:
        return text_cells.method_cells(frame), f"By mean rank; over {frame['units'].iloc[0]}."
    if columns[:2] == ["a", "b"]:
        return pair_cells(name, frame)
    if "against" in columns:
        return difference_cells(
            frame
        ), f"KL of the method minus KL of the other; over {frame['units'].iloc[0]}."
    if "kl_zero_shot" in columns and "memory" in columns:
        return written_trials.cells_of(frame), written_trials.memory_caption(frame)
    if columns[1:3] == ["method", "kl"]:
        return series_cells(frame)
    cells = frame.map(_plain)
    for column in columns:
        if column == "kl" or column.endswith("_kl"):
            cells[column] = frame[column].map("{:.4f}".format)
    if "method" in cells:
        cells["method"] = cells["method"].map(shown_name)
    return cells, ""


def series_cells(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A line per case, a column per method: KL with its interval."""
    head, over = frame.columns[0], frame["interval_over"].iloc[0]
    texts = [
        f"{decimal(kl)} {interval(low, high)}".removesuffix(" -")
        for kl, low, high in zip(frame["kl"], frame["kl_low"], frame["kl_high"], strict=True)
    ]
    wide = frame.assign(text=texts).pivot(index=head, columns="method", values="text")
    wide = wide.loc[list(dict.fromkeys(frame[head])), list(dict.fromkeys(frame["method"]))]
    wide.columns = [shown_name(name) for name in wide.columns]
    return wide.reset_index(
        names=head
    ), f"KL ↓, means over windows within subject, then over subjects; 95 % over {over}."


def pair_cells(name: str, pairs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The pairs of MPCL, or of the train mean in a table without MPCL."""
    methods = read(name.replace("_pairs", "_statistics"))
    focus = shown_name(focus_of(list(methods["method"])))
    caption = (
        f"KL of {focus} minus KL of the other; over {pairs['units'].iloc[0]}; p Holm: corrected for them."
    )
    return statistics_text.pair_cells(methods, pairs), caption


def difference_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Differences of the KL with intervals; columns without a value are left out."""
    cells = frame[["case", "method", "against"]].astype(object).fillna("").map(lambda x: shown_name(str(x)))
    cells["KL difference"] = [decimal(x, sign=True) for x in frame["difference"]]
    cells["95 % interval"] = list(map(interval, frame["low"], frame["high"]))
    cells["p Holm"] = [decimal(x, 3) for x in frame["p_holm"]]
    for column in ("verdict", "predicted", "found"):
        if column in frame:
            cells[column] = frame[column].astype(object).fillna("")
    return cells.loc[:, [not cells[column].isin(["", "-"]).all() for column in cells]]


def overview(titles: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """One row per data set, FILE -> title: KL of MPCL and of the best of other methods."""
    rows, seeds = [], set()
    for name, title in titles.items():
        frame = read(name).set_index("method")
        mpcl = frame.loc[METHOD]
        classical = [method for method in frame.index if method in BASELINES and method not in NOT_CLASSICAL]
        predecessors = [method for method in frame.index if method in PREDECESSORS]
        seeds |= {int(frame["seeds"][method]) for method in predecessors}
        leaky = f" ({table_text.LEAKY})" if mpcl["split"] == table_text.LEAKY else ""
        rows.append(
            {
                "data set": title + leaky,
                "train mean": decimal(frame["kl"][REFERENCE]),
                "best classical": _best(frame, classical),
                "MLP": decimal(frame["kl"]["mlp"]) if "mlp" in frame.index else "-",
                "best predecessor": _best(frame, predecessors),
                "MPCL": decimal(mpcl["kl"]),
                "95 % interval of MPCL": interval(mpcl["kl_low"], mpcl["kl_high"]),
                "n": mpcl["interval_over"],
            }
        )
    caption = "KL ↓, mean over windows within subject, then over subjects. No value is marked as best."
    if seeds:
        counts = " or ".join(count_of(n, "seeds") for n in sorted(seeds))
        caption += f" Predecessors of the method (EmotionDict, HeLo): {counts}; -: not run."
    return pd.DataFrame(rows), caption


def _best(frame: pd.DataFrame, methods: Sequence[str]) -> str:
    if not methods:
        return "-"
    best = frame["kl"].loc[list(methods)].idxmin()
    return f"{decimal(frame['kl'][best])} ({shown_name(best)})"


def _column(name: str, frame: pd.DataFrame, column: str) -> pd.Series:
    if column not in frame:
        raise DataError(name, f"has no column {column!r}; there are {', '.join(frame.columns)}")
    return frame[column]


def _only(name: str, frame: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    known = _column(name, frame, "method")
    if unknown := [method for method in methods if method not in set(known)]:
        raise DataError(name, f"has no method {unknown[0]!r}; there are {', '.join(dict.fromkeys(known))}")
    chosen = frame[known.isin(methods)]
    first = list(frame.columns).index("method")
    return chosen.sort_values("method", key=lambda x: x.map(methods.index)) if first == 0 else chosen


def _plain(value) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}".replace("-", "−")
    text = str(value)
    return text.replace("-", "−") if text.startswith(("[", "+", "-")) else text


def markdown_of(frame: pd.DataFrame) -> str:
    """Markdown of a frame of results, and its caption."""
    cells, caption = cells_of("", frame)
    return table_text.markdown_of(cells) + (f"\n\n{caption}" if caption else "")


@any_output()
def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("name", help='a file of experiments/results without ".csv", or "overview"')
    parser.add_argument("options", nargs="*", help="option=value, see above")
    parser.add_argument("--format", choices=("md", "latex"), default="md")
    args = parser.parse_intermixed_args(words)
    try:
        cells, caption = rendered(args.name, options_of(args.options))
    except DataError as mistake:
        sys.exit(f"error: {mistake}")
    if args.format == "latex":
        print(text_cells.latex_of(cells, caption))
    else:
        print(f"{table_text.markdown_of(cells)}\n\n{caption}".rstrip())


def options_of(words: Sequence[str]) -> dict[str, str]:
    """["a=b"] -> {"a": "b"}. Raises DataError for a word without "="."""
    if wrong := [word for word in words if "=" not in word]:
        raise DataError(shlex.join(words), f"{wrong[0]!r}: an option is written option=value")
    return dict(word.split("=", 1) for word in words)


if __name__ == "__main__":
    main(sys.argv[1:])

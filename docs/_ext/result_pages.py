"""Writes one page per table from the CSV files of experiments/results, at build time; pages are not committed.

A table is `NAME.csv`. `NAME_statistics.csv` and `NAME_pairs.csv` are shown on its page, `NAME_subjects.csv` is named
there, and so is the picture `NAME.png` or `NAME_ranks.png`.
"""

import pathlib
import re

import pandas as pd

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
PAGES = ROOT / "docs" / "results" / "tables"

COMPANIONS = ("_statistics", "_pairs", "_subjects")
LOWER, HIGHER = ("chebyshev", "clark", "canberra", "kl"), ("cosine", "intersection", "skill")
ORACLES = ("stimulus_mean",)
HIDDEN = ("kl_low", "kl_high", "split_sha256", "split", "interval_over", "windows", "subjects")
OUTDATED = """:::{admonition} Results of version 0.1
:class: warning

This table was made before several corrections and will be made again. {doc}`What is wrong with it </results>`.
:::
"""
# Beginnings of names, in the order in which they are looked for, and what follows them.
KINDS = {
    "ablation": "Ablation",
    "averaged": "Averaged predictions",
    "calibration": "Calibration of predictions",
    "curve": "Learning curve",
    "growth": "Growth of cost",
    "labels": "Few labelled trials",
    "missing": "Missing modalities",
    "null_calibration": "Null calibration of the evaluation",
    "personal_memory": "Few-shot adaptation",
    "scaling": "Scaling over devices",
    "sensitivity": "Hyper-parameter sensitivity",
    "smoke": "Smoke test",
    "study_usage": "Method study, usage momentum",
    "study_weighed": "Method study, mixture weights",
    "study": "Method study",
    "throughput": "Speed",
}
SETS = {
    "dmer_label_groups": "DMER sample, unseen label groups",
    "dmer_window80": "DMER sample, random windows (LEAKY)",
    "window80": "DMER sample, random windows (LEAKY)",
    "dmer": "DMER sample",
    "simulated": "simulated recordings",
    "wesad_dmer9": "WESAD, nine emotions",
    "wesad_loso": "WESAD, unseen subjects",
    "wesad": "WESAD",
    "predecessors": "predecessors",
}


def names() -> list[str]:
    """The tables, without the files that belong to another one."""
    stems = sorted(path.stem for path in RESULTS.glob("*.csv"))
    return [
        stem
        for stem in stems
        if not any(stem.endswith(tail) and stem.removesuffix(tail) in stems for tail in COMPANIONS)
    ]


def title_of(name: str) -> str:
    """A heading from the name of a file; the name itself where it is none of the known ones."""
    parts, rest = [], name
    for words, after in ((KINDS, ": "), (SETS, ", "), (SETS, ", ")):
        for word, text in words.items():
            if rest == word or rest.startswith(f"{word}_"):
                parts += [text, after]
                rest = rest[len(word) + 1 :]
                break
    title = "".join(parts[:-1]) if not rest else name
    return title[0].upper() + title[1:]


def recorded_command(path: pathlib.Path) -> tuple[str, str]:
    """The command of the first line of a CSV, and what it was run on (commit, machine)."""
    first = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    command, *where = re.split(r" [@·] ", first)
    return command, ", ".join(where)


def number(value: object, column: str) -> str:
    """A cell: four decimals for measures, three significant digits elsewhere, empty where there is none."""
    if pd.isna(value):
        return ""
    if not isinstance(value, float):
        return str(value).replace("|", "\\|")
    if column == "skill":
        return f"{value:.2f}"
    if column in (*LOWER, *HIGHER, "kl_seed_sd", "difference") or column.startswith("error_"):
        return f"{value:.4f}"
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.3g}"


def as_markdown(frame: pd.DataFrame) -> str:
    """A Markdown table; bold marks the best value of a measure, oracles apart."""
    best = {}
    if "method" in frame:
        own = frame[~frame["method"].isin(ORACLES)]
        best = {c: own[c].min() for c in LOWER if c in frame} | {
            c: own[c].max() for c in HIGHER if c in frame
        }
    shown = [column for column in frame if column not in HIDDEN]
    if "kl_low" in frame:
        shown.insert(shown.index("kl") + 1, "95 % interval of KL")
    text = [c for c in shown if c in frame and pd.to_numeric(frame[c], errors="coerce").isna().any()]
    lines = [
        "| " + " | ".join(shown) + " |",
        "|" + "|".join(" --- " if c in text else " --: " for c in shown) + "|",
    ]
    for row in frame.to_dict("records"):
        cells = []
        for column in shown:
            if column not in frame:
                cells.append(
                    f"[{row['kl_low']:.4f}, {row['kl_high']:.4f}]" if pd.notna(row["kl_low"]) else ""
                )
                continue
            cell = number(row[column], column)
            bold = column in best and row["method"] not in ORACLES and cell == number(best[column], column)
            cells.append(f"**{cell}**" if bold else cell)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pivot_of(frame: pd.DataFrame) -> pd.DataFrame | None:
    """KL with a row for each setting of a series and a column for each method; None for other tables."""
    first = frame.columns[0]
    if first == "method" or not {"method", "kl"} <= set(frame):
        return None
    wide = frame.pivot_table(index=first, columns="method", values="kl", sort=False)
    return wide.round(4).map(lambda x: "" if pd.isna(x) else f"{x:.4f}").reset_index()


def averaged_over(frame: pd.DataFrame) -> str:
    """What the intervals and means of a table are over."""
    if "interval_over" not in frame:
        return ""
    units = " or ".join(map(str, frame["interval_over"].dropna().unique()))
    windows = f" {int(frame['windows'].max())} test windows in all." if "windows" in frame else ""
    seeds = f" Seeds: {int(frame['seeds'].max())}." if "seeds" in frame else ""
    return f"Means and 95 % intervals of KL are over n = {units}.{windows}{seeds}"


def dropdown(title: str, body: str) -> str:
    """A part of a page that opens on a click."""
    return f"::::{{dropdown}} {title}\n:::{{div}} wide\n\n{body}\n\n:::\n::::\n"


def page_of(name: str) -> str:
    """The whole page of a table."""
    path = RESULTS / f"{name}.csv"
    frame = pd.read_csv(path, comment="#")
    command, where = recorded_command(path)
    parts = [f"# {title_of(name)}", "" if "throughput" in name else OUTDATED, averaged_over(frame)]
    for picture in (f"{name}.png", f"{name}_ranks.png"):
        if (RESULTS / picture).exists():
            alt = "Ranks of the methods" if "_ranks" in picture else title_of(name)
            parts.append(f"![{alt}](../../../experiments/results/{picture})")
    wide = pivot_of(frame)
    if wide is None:
        parts.append(f":::{{div}} wide\n\n{as_markdown(frame)}\n\n:::")
    else:
        parts += [f"KL, lower is better:\n\n:::{{div}} wide\n\n{as_markdown(wide)}\n\n:::", ""]
        parts.append(dropdown("All measures and intervals", as_markdown(frame)))
    for tail, title in (("_statistics", "Further measures"), ("_pairs", "Paired comparisons")):
        companion = RESULTS / f"{name}{tail}.csv"
        if companion.exists():
            parts.append(dropdown(title, as_markdown(pd.read_csv(companion, comment="#"))))
    if (RESULTS / f"{name}_subjects.csv").exists():
        parts.append(f"Values of each subject: `experiments/results/{name}_subjects.csv`.")
    parts.append(f"Made by ({where}):\n\n```text\n{command}\n```\n\nFile: `experiments/results/{name}.csv`")
    return "\n\n".join(part for part in parts if part) + "\n"


def write_pages(app) -> None:
    """Writes every page that is new or has changed, and removes those whose table is gone."""
    PAGES.mkdir(parents=True, exist_ok=True)
    wanted = {f"{name}.md": page_of(name) for name in names()}
    for path in PAGES.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for file, text in wanted.items():
        path = PAGES / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}

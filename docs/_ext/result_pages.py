"""Writes one page per table from the CSV files of experiments/results, at build time; pages are not committed.

A table is `NAME.csv`. `NAME_statistics.csv`, `NAME_pairs.csv` and `NAME_differences.csv` are shown on its
page, `NAME_subjects.csv` is named there, and so is the picture `NAME.png` or `NAME_ranks.png`.
"""

import pathlib
import re

import pandas as pd

from experiments.shared.render import RESULTS, rendered
from mpcl_jax.evaluation.table_text import markdown_of

PAGES = pathlib.Path(__file__).resolve().parents[1] / "results" / "tables"
COMPANIONS = {
    "_memory": "Without and with written trials",
    "_memory_curve": "By the number of written trials",
    "_statistics": "Further measures",
    "_pairs": "Paired comparisons",
    "_differences": "Paired differences",
    "_subjects": "",
}
# Beginnings of names, in the order in which they are looked for, and what follows them.
KINDS = {
    "against_pytorch": "Speed against PyTorch",
    "ablation": "Ablation",
    "averaged": "Averaged predictions",
    "calibration": "Calibration of predictions",
    "curve": "Learning curve",
    "fine_tuning": "Fine-tuning on written trials",
    "growth": "Growth of cost",
    "inner_averaging": "Averaging over a stimulus, inner folds",
    "labels": "Few labelled trials",
    "missing": "Missing modalities",
    "memory_cost": "Cost of the personal memory",
    "null_calibration": "Null calibration of the evaluation",
    "scaling": "Scaling over devices",
    "sensitivity": "Hyper-parameter sensitivity",
    "small_studies": "Small studies",
    "smoke": "Smoke test",
    "step_profile": "Profile of a training step",
    "study": "Method study",
    "throughput": "Speed",
}
SETS = {
    "sequential": "each trial after the earlier ones",
    "few_shot": "after the first written trials",
    "other_subjects": "each trial after the earlier ones, all methods learn from other subjects",
    "emopaircompete_task": "EmoPairCompete and task",
    "emopaircompete": "EmoPairCompete",
    "music": "Music",
    "walking": "Walking",
    "dmer_label_groups": "DMER sample, unseen label groups",
    "dmer_window80": "DMER sample, random windows (LEAKY)",
    "window80": "DMER sample, random windows (LEAKY)",
    "dmer": "DMER sample",
    "simulated": "simulated recordings",
    "wesad_dmer9": "WESAD, nine emotions",
    "wesad_loso": "WESAD, unseen subjects",
    "wesad": "WESAD",
}


def names() -> list[str]:
    """The tables, without the files that belong to another one."""
    stems = sorted(path.stem for path in RESULTS.glob("*.csv"))
    owner = re.compile(f"({'|'.join(COMPANIONS)})$")
    return [stem for stem in stems if not owner.search(stem) or owner.sub("", stem) not in stems]


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


def table(name: str) -> str:
    """The Markdown of a CSV in a box that scrolls, and its caption."""
    options = (
        {"measures": "all"}
        if not re.search("_(pairs|statistics|differences|memory|memory_curve)$", name)
        else {}
    )
    cells, caption = rendered(name, options)
    return f":::{{div}} wide\n\n{markdown_of(cells)}\n\n:::\n\n{caption}"


def subjects_of(path: pathlib.Path) -> str:
    """The sentence on the subjects of a table; `path`: the file with the values of each subject."""
    subjects = sorted(pd.read_csv(path, skiprows=1, dtype=str)["subject"].unique(), key=lambda x: (len(x), x))
    return f"Subjects: {', '.join(subjects)}. Values of each subject: `experiments/results/{path.name}`."


def page_of(name: str) -> str:
    """The whole page of a table."""
    path = RESULTS / f"{name}.csv"
    command, where = recorded_command(path)
    parts = [f"# {title_of(name)}"]
    for picture in (f"{name}.png", f"{name}_ranks.png"):
        if (RESULTS / picture).exists():
            alt = "Ranks of the methods" if "_ranks" in picture else title_of(name)
            parts.append(f"![{alt}](../../../experiments/results/{picture})")
    parts.append(table(name))
    for tail, title in COMPANIONS.items():
        if not (RESULTS / f"{name}{tail}.csv").exists():
            continue
        if title:
            parts.append(f"::::{{dropdown}} {title}\n{table(name + tail)}\n::::")
        else:
            parts.append(subjects_of(RESULTS / f"{name}{tail}.csv"))
    parts.append(f"Made by ({where}):\n\n```text\n{command}\n```\n\nFile: `experiments/results/{name}.csv`")
    return "\n\n".join(parts) + "\n"


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

"""A finished run folder as NumPy arrays with names, for plots, reports and notebooks."""

import csv
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.runs.memory import Memory, open_memory, without_absent
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.fold_inspection import Inspection, load_inspection
from mpcl_jax.types import DataFileError, groups_in

COLOURS = ("red", "amber", "green")  # of the audit, the worst first
PER_WINDOW = ("rows", "present", "association", "recalled", "without_modality", "without_scale", "subset_kl")


class SlotHistory(NamedTuple):
    """Of the first fold, epoch by epoch."""

    epoch: np.ndarray  # [E] int
    drift: np.ndarray  # [E, C, K] 1 - cosine to where the slot was an epoch before
    usage: np.ndarray  # [E, C, K] share of its emotion's recent evidence


class RunFiles(NamedTuple):
    """P test windows of all folds in the order of the manifest, C emotions, K slots, G = `sides`."""

    folder: pathlib.Path
    config: dict[str, Any]  # the resolved settings
    data: dict[str, Any]  # emotions, modalities, counts, notes, sha256
    split: dict[
        str, Any
    ]  # protocol, sentence, sha256, folds [{name, sentence, test, validation, unused}], rows
    environment: dict[str, Any]  # versions, system, commit; {} in runs of older versions
    command: str  # that made the run, with the version of the code
    verdict: tuple[str, ...]  # the lines below the table
    caption: str  # what the table's values are, and the rule of the verdicts
    table: tuple[dict[str, str], ...]  # a row per method, the columns of table.csv
    ranking: tuple[dict[str, str], ...]  # a row per method, the columns of statistics.csv; () in older runs
    subjects: tuple[dict[str, str], ...]  # a row per method and subject, the columns of subjects.csv
    id: np.ndarray  # [P] str, trial@start in seconds
    fold: np.ndarray  # [P] int
    subject: np.ndarray  # [P] str
    trial: np.ndarray  # [P] str
    reported: np.ndarray  # [P, C] rows sum to 1
    predicted: np.ndarray  # [P, C] rows sum to 1
    baselines: dict[str, np.ndarray]  # method -> [P, C]
    cooccurrence_map: np.ndarray  # [P, C, C] what each emotion called up, rows sum to 1
    similarity: np.ndarray  # [P, G, C, K] to every prototype, over the temperature
    inspection: Inspection | None  # of all folds; nearest windows of the first one; None in older runs
    memory: Memory | None  # of the first fold; None without a memory
    metrics: tuple[dict[str, float], ...]  # a dict per fold and epoch
    history: SlotHistory | None
    audit: dict[str, Any]  # colour and findings of audit.json; {} where the run was never audited

    @property
    def emotions(self) -> tuple[str, ...]:
        """C names."""
        return tuple(self.data["emotions"])

    @property
    def valence(self) -> tuple[str, ...]:
        """C valence groups."""
        return tuple(self.data["valence"])

    @property
    def sides(self) -> tuple[str, ...]:
        """G names: the modality groups that the data set has."""
        return groups_in(self.data["groups"])

    @property
    def leaky(self) -> bool:
        """Windows of one trial lie on both sides of the split."""
        return self.table[0]["split"] == "LEAKY"


def read_run(folder) -> RunFiles:
    """Reads a finished run. Raises DataFileError naming the file that is missing, damaged or of another run."""
    folder = user_path(folder)
    data, table, command = read_json(folder / "data.json"), *read_csv(folder / "table.csv")
    rows, _ = read_csv(folder / "predictions.csv", commented=False)
    shares = {kind: read_shares(folder, rows, kind, data["emotions"]) for kind in ("reported", "predicted")}
    folds = fold_folders(folder, rows)
    predictions = [_npz(f / "predictions.npz", ("cooccurrence_map", "similarity")) for f in folds]
    baselines = [parse_npz(f / "baselines.npz") for f in folds if (f / "baselines.npz").exists()]
    joined, sides = join_folds(folder, predictions, len(rows)), groups_in(data["groups"])
    joined["similarity"] = without_absent(joined["similarity"], sides, axis=1)
    verdict, caption = _words(folder / "table.md")
    text = {name: np.array([row[name] for row in rows]) for name in ("id", "subject", "trial")}
    return RunFiles(
        folder=folder,
        config=read_json(folder / "config.json"),
        data=data,
        split=read_json(folder / "manifest.json"),
        environment=_environment(folder),
        command=command,
        verdict=verdict,
        caption=caption,
        table=tuple(table),
        ranking=_ranking(folder / "statistics.csv"),
        subjects=tuple(read_csv(folder / "subjects.csv")[0]),
        **text,
        fold=np.array([int(row["fold"]) for row in rows]),
        **shares,
        baselines=join_folds(folder, baselines, len(rows)) if len(baselines) == len(folds) else {},
        **joined,
        inspection=_inspections(folder, folds, len(rows), sides),
        memory=_memory(folder),
        metrics=tuple(read_lines(folder / "metrics.jsonl")),
        history=_history(folds[0] / "memory.jsonl"),
        audit=_audit(folder / "audit.json"),
    )


def _ranking(file: pathlib.Path) -> tuple[dict[str, str], ...]:
    return tuple(read_csv(file)[0]) if file.exists() else ()


def _environment(folder: pathlib.Path) -> dict[str, Any]:
    """Of the newest file that there is: runs of older versions have one or none of them."""
    files = [folder / name for name in ("environment.json", "made_with.json") if (folder / name).exists()]
    return read_json(files[0]) if files else {}


def _audit(file: pathlib.Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    found = read_json(file)
    findings = found.get("findings")
    named = isinstance(findings, list) and all(
        isinstance(x, dict) and {"check", "says", "ids"} <= set(x) and x.get("colour") in COLOURS
        for x in findings
    )
    if not named or found.get("colour") not in COLOURS:
        raise DataFileError(file, "is no audit; write it again with python -m mpcl_jax.cli.audit")
    return found


def read_json(file: pathlib.Path) -> dict:
    """A JSON document of a run. Raises DataFileError naming the file."""
    try:
        document = json.loads(read_text(file))
    except ValueError as error:
        raise DataFileError(file, f"is no JSON ({error}); start the run again in another folder") from error
    if not isinstance(document, dict):
        raise DataFileError(file, "is no document of a run; start the run again in another folder")
    return document


def read_text(file: pathlib.Path) -> str:
    """A text of a run. Raises DataFileError naming the file and what to do."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataFileError(
            file, "does not exist: no run, or not finished; start its command again"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(file, f"can not be read ({error})") from error


def read_csv(file: pathlib.Path, commented: bool = True) -> tuple[list[dict[str, str]], str]:
    """Rows by column name, and the comment in the first line."""
    text, comment = read_text(file), ""
    if commented:
        comment, _, text = text.partition("\n")
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    if not rows or any(None in row or None in row.values() for row in rows):
        raise DataFileError(file, "is damaged or empty; start the run's command again: it writes it anew")
    return rows, comment.removeprefix("# ")


def read_shares(folder, rows, kind: str, emotions: list[str]) -> np.ndarray:
    """The shares [P, C] that predictions.csv holds of a `kind`: "reported" or "predicted"."""
    try:
        return np.array([[float(row[f"{kind}_{name}"]) for name in emotions] for row in rows])
    except (KeyError, ValueError) as error:
        file = folder / "predictions.csv"
        raise DataFileError(
            file, f"does not fit data.json ({error}); start the run's command again"
        ) from error


def fold_folders(folder: pathlib.Path, rows: list[dict]) -> list[pathlib.Path]:
    """The folders of the folds that the rows of predictions.csv name, in their order."""
    numbers = {row.get("fold", "") for row in rows}
    if wrong := sorted(number for number in numbers if not number.isdecimal()):
        raise DataFileError(
            folder / "predictions.csv", f"fold {wrong[0]!r} is no number; start the run's command again"
        )
    return [folder / "folds" / f"{number:02d}" for number in sorted(map(int, numbers))]


def _npz(file: pathlib.Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    found = parse_npz(file)
    if not set(names) <= set(found):
        raise DataFileError(file, "does not hold the predictions of a fold; start the run's command again")
    return {name: found[name] for name in names}


def join_folds(folder, of_folds: list[dict[str, np.ndarray]], count: int) -> dict[str, np.ndarray]:
    """Arrays of all folds behind one another; DataFileError unless each has `count` rows."""
    joined = {name: np.concatenate([fold[name] for fold in of_folds]) for name in of_folds[0]}
    for name, values in joined.items():
        if len(values) != count:
            raise DataFileError(
                folder / "folds", f"{len(values)} rows of {name}, predictions.csv has {count}"
            )
    return joined


def _inspections(folder, folds: list[pathlib.Path], count: int, sides) -> Inspection | None:
    found = [load_inspection(fold / "inspection.npz") for fold in folds]
    if None in found:
        return None
    joined = join_folds(folder, [{name: x._asdict()[name] for name in PER_WINDOW} for x in found], count)
    joined["recalled"] = without_absent(joined["recalled"], sides, axis=1)
    return found[0]._replace(**joined)


def _memory(folder: pathlib.Path) -> Memory | None:
    try:
        return open_memory(folder)
    except FileNotFoundError:
        return None


def _words(file: pathlib.Path) -> tuple[tuple[str, ...], str]:
    """Verdict lines of table.md, and its caption: every other line, such as the rule of the verdicts."""
    lines = read_text(file).splitlines()
    shown_elsewhere = ("#", "|", "- ", "`", "*")  # title, table, verdicts, command, notes
    caption = " ".join(line for line in lines if line and not line.startswith(shown_elsewhere))
    return tuple(line[2:] for line in lines if line.startswith("- ")), caption


def read_lines(file: pathlib.Path) -> list[dict]:
    """The entries of a log; a last line that a kill cut short is left out."""
    try:
        return [json.loads(line) for line in read_text(file).splitlines() if line.endswith("}")]
    except ValueError as error:
        raise DataFileError(file, f"is damaged ({error}); start the run again in another folder") from error


def _history(file: pathlib.Path) -> SlotHistory | None:
    entries = read_lines(file) if file.exists() else []
    if not entries:
        return None
    return SlotHistory(*(np.array([entry[name] for entry in entries]) for name in SlotHistory._fields))

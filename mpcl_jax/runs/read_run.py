"""A finished run folder as NumPy arrays with names, for plots, reports and notebooks."""

import contextlib
import csv
import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.splits.descriptions import n_of
from mpcl_jax.metrics import floored
from mpcl_jax.runs.memory import Memory, open_memory
from mpcl_jax.system.paths import user_path
from mpcl_jax.train.fold_inspection import Inspection, load_inspection
from mpcl_jax.train.fold_memory import FoldMemory, load_memory, memory_file
from mpcl_jax.train.selection import WITH_MEMORY, read_record
from mpcl_jax.types import DataError, groups_in

AGAIN = "start the run's command again: what is finished is kept, the tables are written anew"
COLOURS = ("red", "amber", "green")  # of the audit, the worst first
PER_WINDOW = ("rows", "present", "association", "recalled", "without_modality", "without_scale", "subset_kl")


@dataclasses.dataclass(frozen=True)
class Tested:
    """P tested windows of all folds in the order of predictions.csv, C emotions."""

    folder: pathlib.Path
    data: dict[str, Any]  # data.json: emotions, modalities, counts, notes, sha256
    split: dict[str, Any]  # manifest.json: protocol, sentence, sha256, rows, and the ids of each fold
    id: np.ndarray  # [P] str, trial@start in seconds
    fold: np.ndarray  # [P] int
    subject: np.ndarray  # [P] str
    trial: np.ndarray  # [P] str
    reported: np.ndarray  # [P, C] float32, rows sum to 1
    predicted: np.ndarray  # [P, C] float32, rows sum to 1, as predictions.csv has it
    zero_shot: np.ndarray  # [P, C] float32, without written trials; in protocols that write none, `predicted`
    saved: np.ndarray  # [P, C] float32, as folds/*/predictions.npz has it, with the floor of metrics.py
    baselines: dict[str, np.ndarray]  # method -> [P, C]

    @property
    def emotions(self) -> tuple[str, ...]:
        """C names."""
        return tuple(self.data["emotions"])


class SlotHistory(NamedTuple):
    """Of the first fold, epoch by epoch."""

    epoch: np.ndarray  # [E] int
    drift: np.ndarray  # [E, C, K] 1 - cosine to the row of the slot an epoch before
    usage: np.ndarray  # [E, C, K] share of the recent evidence of its emotion


class WrittenTrials(NamedTuple):
    """What written trials are worth, in protocols that have them."""

    table: tuple[dict[str, Any], ...]  # a row per method, the columns of memory.csv
    curve: tuple[dict[str, Any], ...]  # a row per method and number of written trials, of memory_curve.csv
    learned: dict[str, dict[str, Any]]  # fold -> the memory of MPCL, from selection.json
    memories: tuple[FoldMemory, ...] = ()  # of MPCL in each fold, of the first seed
    n: int | None = None  # trials that are written before the test; None: all earlier ones


@dataclasses.dataclass(frozen=True)
class RunFiles(Tested):
    """The whole run; K slots, G = `modality_groups`."""

    config: dict[str, Any]  # the resolved settings
    environment: dict[str, Any]  # versions, system, commit
    command: str  # that made the run, with the version of the code
    verdict: tuple[str, ...]  # the lines below the table
    caption: str  # what the table's values are, and the rule of the verdicts
    table: tuple[dict[str, str], ...]  # a row per method, the columns of table.csv
    ranking: tuple[dict[str, str], ...]  # a row per method, the columns of statistics.csv
    subjects: tuple[dict[str, str], ...]  # a row per method and subject, the columns of subjects.csv
    cooccurrence_map: np.ndarray  # [P, C, C] what each emotion retrieved, rows sum to 1
    similarity: np.ndarray  # [P, G, C, K] to every prototype, over the temperature
    inspection: Inspection | None  # of all folds; nearest windows of the first one; None in older runs
    memory: Memory | None  # of the first fold; None without a memory
    metrics: tuple[dict[str, float], ...]  # a dict per fold and epoch
    history: SlotHistory | None
    audit: dict[str, Any]  # colour and findings of audit.json; {} where the run was never audited
    written: WrittenTrials | None = None  # None for protocols that write no trials

    @property
    def valence(self) -> tuple[str, ...]:
        """C valence groups."""
        return tuple(self.data["valence"])

    @property
    def modality_groups(self) -> tuple[str, ...]:
        """G names: the modality groups that the data set has."""
        return groups_in(self.data["groups"])

    @property
    def leaky(self) -> bool:
        """Windows of one trial lie in training and in test."""
        return self.table[0]["split"] == "LEAKY"


def read_run(folder) -> RunFiles:
    """Reads a finished run. Raises DataError naming the file that is missing, damaged or of another run."""
    folder = user_path(folder)
    read_json(folder / "data.json")  # a folder without it is no run, one without the table is not finished
    table, command = read_csv(folder / "table.csv")
    tested = read_tested(folder)
    count, folds = len(tested.id), _folds_of(folder, tested.fold)
    predictions = [_npz(f / "predictions.npz", "cooccurrence_map", "similarity") for f in folds]
    verdict, caption = _words(folder / "table.md")
    memory, audited = None, (folder / "audit.json").exists()
    with contextlib.suppress(FileNotFoundError):
        memory = open_memory(folder)
    return RunFiles(
        **vars(tested),
        config=read_json(folder / "config.json"),
        environment=read_json(folder / "environment.json"),
        command=command,
        verdict=verdict,
        caption=caption,
        table=tuple(table),
        ranking=tuple(read_csv(folder / "statistics.csv")[0]),
        subjects=tuple(read_csv(folder / "subjects.csv")[0]),
        **join_folds(folder, predictions, count, ("cooccurrence_map", "similarity")),
        inspection=_inspections(folder, folds, count),
        memory=memory,
        metrics=tuple(read_lines(folder / "metrics.jsonl")),
        history=_history(folds[0] / "memory.jsonl"),
        audit=read_json(folder / "audit.json", colour=str, findings=list) if audited else {},
        written=_written(folder, tested.split["protocol"], folds),
    )


def _written(folder: pathlib.Path, protocol: str, folds: list[pathlib.Path]) -> WrittenTrials | None:
    if not (folder / "memory.csv").exists():
        return None
    tables = (tuple(read_csv(folder / name)[0]) for name in ("memory.csv", "memory_curve.csv"))
    choices = read_record(folder).items()
    learned = {fold: x[WITH_MEMORY]["choice"] for fold, x in choices if WITH_MEMORY in x}
    memories = tuple(load_memory(memory_file(of_fold, "MPCL")) for of_fold in folds)
    return WrittenTrials(*tables, learned, memories, n_of(protocol))


def read_tested(folder) -> Tested:
    """Reads a run whose predictions are written. Raises DataError naming the file that is missing or damaged."""
    folder = user_path(folder)
    data = read_json(folder / "data.json", emotions=list, name=str)
    split = read_json(folder / "manifest.json", protocol=str, rows=list, folds=list, sha256=str)
    windows = _windows(folder / "predictions.csv", data["emotions"])
    folds, count, shape = _folds_of(folder, windows["fold"]), len(windows["id"]), windows["reported"].shape
    of_folds = [_npz(f / "predictions.npz", "predicted") for f in folds]
    saved = join_folds(folder, of_folds, count, ("predicted",))["predicted"]
    baselines = [_npz(f / "baselines.npz", "train_mean") for f in folds]
    if len({tuple(sorted(of_fold)) for of_fold in baselines}) > 1:
        raise DataError(folder / "folds", f"folds hold different baselines; {AGAIN}")
    baselines = join_folds(folder, baselines, count)
    for name, x in (("predictions", saved), *baselines.items()):
        if x.shape != shape or x.dtype.kind != "f":
            raise DataError(folder / "folds", f"{name} has shape {x.shape}, not {shape}; {AGAIN}")
    return Tested(folder, data, split, **windows, saved=floored(saved), baselines=baselines)


def _folds_of(folder: pathlib.Path, fold: np.ndarray) -> list[pathlib.Path]:
    return [folder / "folds" / f"{number:02d}" for number in np.unique(fold)]


def _windows(file: pathlib.Path, emotions: list[str]) -> dict[str, np.ndarray]:
    """The columns of predictions.csv as arrays [P]; reported, predicted and zero-shot [P, C]."""
    rows, _ = read_csv(file, commented=False)
    try:
        found = {name: np.array([row[name] for row in rows]) for name in ("id", "subject", "trial")}
        found["fold"] = np.array([int(row["fold"]) for row in rows])
        for kind in ("reported", "predicted", "zero_shot"):
            column = kind if f"{kind}_{emotions[0]}" in rows[0] or kind != "zero_shot" else "predicted"
            shares = [[float(row[f"{column}_{name}"]) for name in emotions] for row in rows]
            found[kind] = np.array(shares, np.float32)
    except (KeyError, ValueError) as error:
        raise DataError(file, f"does not fit data.json ({error}); {AGAIN}") from error
    if (np.diff(found["fold"]) < 0).any():
        raise DataError(file, f"its folds are not in order; {AGAIN}")
    return found


def read_json(file: pathlib.Path, **wanted: type) -> dict:
    """A JSON document of a run that has the keys `wanted`, of these types. Raises DataError naming the file."""
    text = read_text(file)
    saved = (file.parent / "model.json").exists()  # a model that MPCLRegressor.save wrote
    again = "save the model again" if saved else "start the run again in another folder"
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DataError(file, f"is no JSON ({error}); {again}") from error
    if not isinstance(document, dict):
        raise DataError(file, f"is no document of a run; {again}")
    for name, kind in wanted.items():
        if not isinstance(document.get(name), kind):
            raise DataError(file, f"lacks {name!r}: no finished run; {AGAIN}")
    return document


def read_text(file: pathlib.Path) -> str:
    """A text of a run. Raises DataError naming the file and what to do."""
    if not file.exists() and (file.parent / "model.json").exists():
        reason = (
            "is a saved model, not a run; mpcl predict and mpcl inspect read it, and mpcl_jax.load in Python"
        )
        raise DataError(file.parent, reason)
    if not file.parent.is_dir():
        raise DataError(file.parent, "is no folder; give the folder of a run or of a saved model")
    if not file.exists():
        raise DataError(file, "does not exist: no run, or not finished; start its command again")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(file, f"cannot be read ({error})") from error


def read_csv(file: pathlib.Path, commented: bool = True) -> tuple[list[dict[str, str]], str]:
    """Rows by column name, and the comment in the first line."""
    text, comment = read_text(file), ""
    if commented:
        comment, _, text = text.partition("\n")
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    if not rows or any(None in row or None in row.values() for row in rows):
        raise DataError(file, "is damaged or empty; start the run's command again: it writes it anew")
    return rows, comment.removeprefix("# ")


def read_lines(file: pathlib.Path) -> list[dict]:
    """The entries of a log; a last line that a kill cut short is left out."""
    text = read_text(file)
    try:
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    except ValueError as error:
        raise DataError(file, f"is damaged ({error}); start the run again in another folder") from error


def _npz(file: pathlib.Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of a file of a fold, among them `names`."""
    if not file.exists():
        raise DataError(file, f"does not exist: the fold is not finished; {AGAIN}")
    found = parse_npz(file)
    if missing := [name for name in names if name not in found]:
        raise DataError(file, f"lacks {missing[0]!r}; {AGAIN}")
    return found


def join_folds(
    folder, of_folds: list[dict[str, np.ndarray]], count: int, names: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Arrays `names` (default: all) of the folds, concatenated; DataError unless each has `count` rows."""
    joined = {name: np.concatenate([fold[name] for fold in of_folds]) for name in names or of_folds[0]}
    for name, values in joined.items():
        if len(values) != count:
            reason = f"{len(values)} rows of {name}, predictions.csv has {count}"
            raise DataError(folder / "folds", reason)
    return joined


def _inspections(folder, folds: list[pathlib.Path], count: int) -> Inspection | None:
    found = [load_inspection(fold / "inspection.npz") for fold in folds]
    if None in found:
        return None
    joined = join_folds(folder, [x._asdict() for x in found], count, PER_WINDOW)
    return found[0]._replace(**joined)


def _words(file: pathlib.Path) -> tuple[tuple[str, ...], str]:
    """Verdict lines of table.md, and its caption: every other line, such as the rule of the verdicts."""
    lines = read_text(file).splitlines()
    shown_elsewhere = ("#", "|", "- ", "`", "*")  # title, table, verdicts, command, notes
    caption = " ".join(line for line in lines if line and not line.startswith(shown_elsewhere))
    return tuple(line[2:] for line in lines if line.startswith("- ")), caption


def _history(file: pathlib.Path) -> SlotHistory | None:
    entries = read_lines(file) if file.exists() else []
    arrays = (np.array([entry[name] for entry in entries]) for name in SlotHistory._fields)
    return SlotHistory(*arrays) if entries else None

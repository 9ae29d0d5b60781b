"""What a run was tested on and what every method said there, from its files and to all their digits."""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.metrics import floored
from mpcl_jax.runs.read_run import fold_folders, join_folds, read_csv, read_json, read_shares
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataFileError

AGAIN = "start the run's command again: what is finished is kept, the tables are written anew"


class Tested(NamedTuple):
    """P tested windows in the order of predictions.csv, C emotions."""

    folder: pathlib.Path
    data: dict[str, Any]  # data.json
    manifest: dict[str, Any]  # manifest.json
    id: np.ndarray  # [P] str, trial@start in seconds
    fold: np.ndarray  # [P] int
    subject: np.ndarray  # [P] str
    trial: np.ndarray  # [P] str
    reported: np.ndarray  # [P, C] float32
    predicted: np.ndarray  # [P, C] float32, as predictions.csv has it
    saved: (
        np.ndarray
    )  # [P, C] float32, as folds/*/predictions.npz has it; older files get the floor (metrics.py)
    baselines: dict[str, np.ndarray]  # method -> [P, C]

    @property
    def emotions(self) -> list[str]:
        """C names."""
        return self.data["emotions"]


def read_tested(folder: pathlib.Path) -> Tested:
    """Reads a run whose predictions are written. Raises DataFileError naming the file that is missing or damaged."""
    folder = user_path(folder)
    data = _document(folder / "data.json", {"emotions": list, "name": str})
    manifest = _document(
        folder / "manifest.json", {"protocol": str, "rows": list, "folds": list, "sha256": str}
    )
    file = folder / "predictions.csv"
    rows, _ = read_csv(file, commented=False)
    if missing := {"id", "subject", "trial", "fold"} - set(rows[0]):
        raise DataFileError(file, f"lacks the column {min(missing)!r}; {AGAIN}")
    folds = fold_folders(folder, rows)
    saved = [_arrays(fold / "predictions.npz", ("predicted",)) for fold in folds]
    baselines = [_arrays(fold / "baselines.npz", ("train_mean",)) for fold in folds]
    if len({tuple(sorted(of_fold)) for of_fold in baselines}) > 1:
        raise DataFileError(folder / "folds", f"folds hold different baselines; {AGAIN}")
    text = {name: np.array([row[name] for row in rows]) for name in ("id", "subject", "trial")}
    shares = {kind: read_shares(folder, rows, kind, data["emotions"]) for kind in ("reported", "predicted")}
    tested = Tested(
        folder=folder,
        data=data,
        manifest=manifest,
        fold=np.array([int(row["fold"]) for row in rows]),
        **text,
        **{kind: x.astype(np.float32) for kind, x in shares.items()},
        saved=join_folds(folder, [{"x": x["predicted"]} for x in saved], len(rows))["x"],
        baselines=join_folds(folder, baselines, len(rows)),
    )
    for name, x in (("predictions", tested.saved), *tested.baselines.items()):
        if x.shape != tested.reported.shape or x.dtype.kind != "f":
            raise DataFileError(
                folder / "folds", f"{name} has shape {x.shape}, not {tested.reported.shape}; {AGAIN}"
            )
    if (np.diff(tested.fold) < 0).any():
        raise DataFileError(file, f"its folds are not in order; {AGAIN}")
    tested = tested._replace(saved=floored(tested.saved))
    _require_all_digits(file, rows, tested)
    return tested


def _document(file: pathlib.Path, wanted: dict[str, type]) -> dict[str, Any]:
    document = read_json(file)
    for name, kind in wanted.items():
        if not isinstance(document.get(name), kind):
            raise DataFileError(file, f"lacks {name!r}: no finished run; {AGAIN}")
    return document


def _arrays(file: pathlib.Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not file.exists():
        raise DataFileError(file, f"does not exist: the fold is not finished; {AGAIN}")
    found = parse_npz(file)
    if missing := [name for name in names if name not in found]:
        raise DataFileError(file, f"lacks {missing[0]!r}; {AGAIN}")
    return found


def _require_all_digits(file: pathlib.Path, rows: list[dict[str, str]], tested: Tested) -> None:
    """Older versions rounded to six decimals, from which no table follows to its last digit."""
    apart = np.abs(tested.predicted.astype(np.float64) - tested.saved)
    texts = [row[f"predicted_{name}"] for row in rows for name in tested.emotions]
    if apart.any() and apart.max() < 6e-7 and max(map(len, texts)) <= len("0.123456"):
        raise DataFileError(file, f"was rounded by an older version; {AGAIN}")

"""Where the parts of DMER lie on disk: its four layouts, its subjects and its labels.

Layouts (Yang et al., Sci Data 11:847, 2024, and the code that its users read it with):

    A  <root>/<n>/datas.mat, perhaps with videoFea.mat          aligned signals
    B  <root>/<n>/{eegfea,perifea,videoFea}.mat                 one feature file per modality
    C  <root>/Features/<n>.mat, or <root>/<n>.mat               features of all modalities, merged
    D  <root>/datas_all_fea_<n>.mat, or any single such file    windows shuffled and split, without clip ids
"""

import enum
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.data.io.safe_read import run_guarded
from mpcl_jax.data.issues import Issue, label_issues, refuse, row_issue
from mpcl_jax.system.os_errors import reason_of
from mpcl_jax.types import DataError

# Columns of the questionnaire in the order of the recording script (PANAS-10, ratings 1 to 5).
EMOTIONS = (
    *("Inspired", "Alert", "Excited", "Enthusiastic", "Determined"),
    *("Afraid", "Upset", "Nervous", "Scared", "Distressed"),
)
VALENCE = ("positive",) * 5 + ("negative",) * 5
# Video ids 0 to 31 are clips; the other two mark stretches that carry no report.
CLIPS, REST, PRACTICE = 32, 40, 50
FEATURE_FILES = ("eegfea.mat", "perifea.mat", "videoFea.mat")


class Layout(enum.StrEnum):
    """The form in which a subject was found."""

    SIGNALS = "aligned signals, <n>/datas.mat"
    FEATURES = "feature files, <n>/eegfea.mat, perifea.mat, videoFea.mat"
    MERGED = "merged features, Features/<n>.mat"
    SPLIT = "shuffled and split windows, datas_all_fea_<n>.mat"


class Found(NamedTuple):
    """One subject on disk."""

    subject: str  # its number without leading zeros; of a file without a number, the file's name
    layout: Layout
    path: Path  # the subject's folder (A, B) or file (C, D)


class Clip(NamedTuple):
    """The windows of one clip, before its label is known."""

    video: int  # 0 to 31
    signals: dict[str, np.ndarray]  # m -> [n, T_m, F_m]
    quality: dict[str, np.ndarray]  # m -> [n] in [0, 1]; 1 where a modality is not named
    start: np.ndarray  # [n] seconds


def find_subjects(root: Path, wanted: tuple[int, ...]) -> list[Found]:
    """The subjects under `root` in the order of their numbers; `wanted` = their numbers, () = all.

    Files and folders that belong to no layout are ignored. Raises DataError where `root` holds no
    subject, more than one layout, one subject twice, or not every wanted subject.
    """
    if root.is_file():
        found = [_single_file(root)]
    elif root.is_dir():
        found = _in_folder(root) or [f for folder in _features_folders(root) for f in _in_folder(folder)]
    else:
        raise DataError(root, "does not exist; set config.data.path to the folder of DMER")
    if not found:
        hint = f"known layouts: {'; '.join(Layout)}"
        if any((root / name).is_file() for name in (*FEATURE_FILES, "datas.mat")):
            hint = "it is the folder of one subject: give its parent; config.data.dmer.subjects chooses"
        raise DataError(root, f"holds no subject of DMER; {hint}")
    names = [f.subject for f in found]
    missing = [str(n) for n in wanted if str(n) not in names]
    if missing:
        raise DataError(root, f"has no subject {', '.join(missing)}; found: {', '.join(names)}")
    chosen = [f for f in found if not wanted or f.subject in map(str, wanted)]
    layouts = {f.layout: f.path for f in chosen}
    if len(layouts) > 1:
        which = "; ".join(f"{path.name}: {layout}" for layout, path in layouts.items())
        fix = "keep each in its own folder, or choose one with config.data.dmer.subjects"
        raise DataError(root, f"mixes layouts ({which}); {fix}")
    if twice := sorted({f.subject for f in chosen if names.count(f.subject) > 1}):
        raise DataError(root, f"holds subject {', '.join(twice)} more than once; remove one of them")
    return chosen


def _in_folder(root: Path) -> list[Found]:
    found = [_entry(path) for path in _entries(root)]
    return sorted((f for f in found if f), key=lambda f: int(f.subject))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(folder, f"cannot be opened ({reason_of(error)})") from error


def _entry(path: Path) -> Found | None:
    if path.is_dir() and path.name.isdecimal():
        held = {name for name in (*FEATURE_FILES, "datas.mat") if (path / name).is_file()}
        if not held:
            return None
        extracted = held & {"eegfea.mat", "perifea.mat"} or "datas.mat" not in held
        layout = Layout.FEATURES if extracted else Layout.SIGNALS
        return Found(str(int(path.name)), layout, path)
    for pattern, layout in ((r"(\d+)\.mat", Layout.MERGED), (r"datas_all_fea_(\d+)\.mat", Layout.SPLIT)):
        match = re.fullmatch(pattern, path.name, re.ASCII)
        if match and path.is_file():
            return Found(str(int(match[1])), layout, path)
    return None


def _single_file(path: Path) -> Found:
    held = run_guarded(parse_mat, path, ("train_label", "vids"))
    number = re.fullmatch(r"(?:datas_all_fea_)?(\d+)", path.stem, re.ASCII)
    subject = str(int(number[1])) if number else path.stem
    if "train_label" in held:
        return Found(subject, Layout.SPLIT, path)
    if "vids" in held:
        return Found(subject, Layout.MERGED, path)
    raise DataError(path, "has neither train_label nor vids; give a features file or the folder of DMER")


def _features_folders(root: Path) -> list[Path]:
    return [p for p in _entries(root) if p.is_dir() and p.name.lower() == "features"]


def read_labels(found: Found) -> tuple[np.ndarray, Path]:
    """The table `dis_label` [32, 10] of a subject as stored, row = video id, and the file it came from.

    Looked for, in this order: of layout C in the file itself; in the subject's folder <root>/<n> in
    dis_label.mat, datas.mat, then any other .mat by name; in <root>/Features/<n>.mat. Raises DataError
    where it is in none of them, or not of that shape.
    """
    places = _label_places(found)
    for path in places:
        table = parse_mat(path, names=("dis_label",)).get("dis_label")
        if table is None:
            continue
        if table.shape != (CLIPS, len(EMOTIONS)) or table.dtype.kind not in "fiu":
            wanted = f"wanted numbers ({CLIPS}, {len(EMOTIONS)}), row = video id"
            reason = f"dis_label is {table.dtype} {table.shape}; {wanted}"
            raise DataError(path, reason)
        return table, path
    home = found.path if found.path.is_file() else found.path / "dis_label.mat"
    looked = ", ".join(f"{path.parent.name}/{path.name}" for path in places) or "no .mat file at all"
    wanted = f"save the ratings as `dis_label` [{CLIPS}, {len(EMOTIONS)}], row = video id, in {home}"
    raise DataError(found.path, f"subject {found.subject} has no labels: no dis_label in {looked}; {wanted}")


def _label_places(found: Found) -> list[Path]:
    if found.layout is Layout.MERGED:
        own, root, folder = [found.path], found.path.parent.parent, found.path.parent.parent / found.subject
    else:
        own, root, folder = [], found.path.parent, found.path
    first = [folder / "dis_label.mat", folder / "datas.mat"]
    others = sorted(path for path in folder.glob("*.mat") if path not in first)
    merged = [features / f"{found.subject}.mat" for features in _features_folders(root)]
    return [path for path in (*own, *first, *others, *merged) if path.is_file()]


def source_files(found: Found) -> tuple[Path, ...]:
    """Every file that can have a part in what is read of a subject: its own and those that may hold labels."""
    if found.layout is Layout.SPLIT:
        return (found.path,)
    own = [found.path / name for name in (*FEATURE_FILES, "datas.mat")]
    return tuple(dict.fromkeys([*(path for path in own if path.is_file()), *_label_places(found)]))


def distributions(rows: np.ndarray, file: Path, key: str, names: np.ndarray | None = None) -> np.ndarray:
    """Ratings or distributions [n, 10] -> distributions [n, 10] whose rows sum to 1.

    `names` [n] are those of the rows in errors, default their numbers. Raises DataError for the first of
    `table_issues`.
    """
    rows = np.asarray(rows, np.float64)
    refuse(table_issues(file, key, rows, names))
    return rows / rows.sum(1, keepdims=True)


def table_issues(file: Path, key: str, table: np.ndarray, names: np.ndarray | None) -> list[Issue]:
    """Rows [n, 10] that are no report, and tables that hold ratings in some rows and shares in others."""
    issues = label_issues(file, key, table, names)
    good = np.isfinite(table).all(1) & (table >= 0).all(1) & (table > 0).any(1)
    ratings = np.isin(table, np.arange(1, 6)).all(1)
    shares = np.abs(np.where(good, table.sum(1), 0) - 1) < 0.01
    odd, fix = good & ~ratings & ~shares, "store ratings, or shares that sum to 1"
    what = "neither ratings of 1 to 5 nor shares that sum to 1"
    issues += row_issue(file, key, odd, what, fix, names)
    if (ratings & good).any() and not odd.any():
        mixed = shares & good & ~ratings
        issues += row_issue(file, key, mixed, "shares, where other rows hold ratings", fix, names)
    return issues

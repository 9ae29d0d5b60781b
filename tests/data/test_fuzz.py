"""Damaged files of every kind: each is read or refused in one clear line. The full number: `pytest -m long`."""

import collections
import json
import pathlib
import shutil
import time

import numpy as np
import pytest
from fuzz_corpus import META, RECORDINGS, damaged, good_files
from fuzz_functions import load, outcome, outcomes

from mpcl_jax.config.data import WesadConfig
from mpcl_jax.data.folder.load import read_subject
from mpcl_jax.data.folder.meta import read_meta
from mpcl_jax.data.io.safe_read import Limits, read_text, run_guarded
from mpcl_jax.data.splits.manifest import read_manifest
from mpcl_jax.data.validate import folder as check_folder
from mpcl_jax.data.validate import wesad as check_wesad
from mpcl_jax.data.wesad.questionnaire import parse_questionnaire
from mpcl_jax.evaluation.comparison import load_fold
from mpcl_jax.types import DataError

FILES = {"pkl": 5000, "mat": 3000, "npz": 1000, "csv": 500, "json": 500}  # 10,000
GUARDED = ("pkl", "mat")  # the program reads these in the child only
BATCH = 250  # files that one child reads: starting one takes longer than reading ten
LIMITS = Limits(memory_bytes=2 * 2**30, seconds=600.0)
GOOD = good_files()


def read_here(file: pathlib.Path) -> None:
    """What the program does in its own process with a file of this name."""
    match file.name:
        case "anna.npz":
            read_subject(file, META)
        case "baselines.npz":
            load_fold(file, ("train_mean",), (6, 3))
        case "S2_quest.csv":
            parse_questionnaire(read_text(file, max_bytes=2**16), str(file))
        case "meta.json":
            read_meta(file)
        case "manifest.json":
            read_manifest(file, RECORDINGS)
        case other:
            raise ValueError(other)


def written(root: pathlib.Path, ending: str, numbers: range) -> list[str]:
    """Damaged files of one kind below `root`, each in a folder of its own; the same ones for every call."""
    names = []
    for number in numbers:
        name, content = GOOD[ending][number % len(GOOD[ending])]
        rng = np.random.default_rng([number, *ending.encode()])
        file = root / f"{ending}{number}" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(damaged(rng, content, ending))
        names.append(f"{file.parent.name}/{name}")
    return names


def guarded_outcomes(root: pathlib.Path, names: list[str], how: str) -> tuple[dict[str, tuple], int]:
    """Outcomes in a guarded child. Where a file ends the child, each half of the files gets one of its own."""
    try:
        return run_guarded(outcomes, root, names, how, limits=LIMITS)
    except DataError as error:
        if len(names) == 1:
            return {names[0]: ("refused", str(error), 0.0)}, 0
        middle = len(names) // 2
        parts = [guarded_outcomes(root, part, how) for part in (names[:middle], names[middle:])]
        return {k: x for found, _ in parts for k, x in found.items()}, max(memory for _, memory in parts)


def ends_of(root: pathlib.Path, names: list[str], how: str, here) -> tuple[dict[str, tuple], int]:
    """Outcomes of files of one kind, in the process in which the program reads it, and the memory of a child."""
    if names[0].endswith((".pkl", ".mat")):
        return guarded_outcomes(root, names, how)
    return {name: outcome(root / name, here) for name in names}, 0


def fuzz(root: pathlib.Path, ending: str, count: int) -> tuple[collections.Counter, float, int]:
    """How the files ended, the slowest in seconds, the largest child in bytes. Fails at the first bug."""
    ends, slowest, memory = collections.Counter(), 0.0, 0
    for first in range(0, count, BATCH):
        names = written(root, ending, range(first, min(first + BATCH, count)))
        found, held = ends_of(root, names, "load", read_here)
        for name, (end, words, seconds) in found.items():
            assert end in ("ok", "refused"), f"{name}: {words}"
            assert "\n" not in words and len(words) < 1000, f"{name}: {words[:2000]}"
            assert (end == "ok") == (words == "")
            ends["crash" if "crashed" in words else end] += 1
            slowest = max(slowest, seconds)
        memory = max(memory, held)
        for name in names:
            shutil.rmtree(root / pathlib.Path(name).parent)
    return ends, slowest, memory


def test_the_undamaged_files_are_read(tmp_path):
    for ending, files in GOOD.items():
        for number, (name, content) in enumerate(files):
            file = tmp_path / f"{ending}{number}" / name
            file.parent.mkdir()
            file.write_bytes(content)
            end, words, _ = outcome(file, load if ending in GUARDED else read_here)
            assert end == "ok", f"{ending} {number} {name}: {words}"


@pytest.mark.parametrize("ending", FILES)
def test_damaged_files_are_read_or_refused(tmp_path, ending):
    ends, slowest, memory = fuzz(tmp_path, ending, FILES[ending] // 100)
    assert ends["refused"] > 0, ends
    assert slowest < 10 and memory < LIMITS.memory_bytes


@pytest.mark.long
@pytest.mark.parametrize("ending", FILES)
def test_ten_thousand_damaged_files_are_read_or_refused(tmp_path, ending):
    begin = time.monotonic()
    ends, slowest, memory = fuzz(tmp_path, ending, FILES[ending])
    assert sum(ends.values()) == FILES[ending] and slowest < 10 and memory < LIMITS.memory_bytes
    print(
        f"{ending}: {FILES[ending]} files, {ends['ok']} read, {ends['refused']} refused, {ends['crash']} crashes "
        f"of the child, each one line; slowest "
        f"{slowest:.1f} s, largest child {memory / 2**20:.0f} MiB, {time.monotonic() - begin:.0f} s"
    )


def validate_here(file: pathlib.Path) -> None:
    """What the validator does in its own process with a file of this name."""
    if file.suffix == ".csv":
        home = file.parent / "S2"
        home.mkdir()
        file.rename(home / file.name)
        check_wesad.examine(str(file.parent), WesadConfig())
        return
    if file.suffix == ".npz":
        meta = {
            "emotions": [{"name": name, "valence": "v"} for name in META.emotions],
            "modalities": {"ecg": {"group": "physiological", "rate": 4}},
            "window_seconds": 1.0,
        }
        (file.parent / "meta.json").write_text(json.dumps(meta))
    check_folder.examine(str(file.parent))


@pytest.mark.parametrize("ending", FILES)
def test_the_validator_reads_or_refuses_damaged_files(tmp_path, ending):
    names = written(tmp_path, ending, range(1000, 1000 + FILES[ending] // 250))
    ends = ends_of(tmp_path, names, "validate", validate_here)[0]
    for name, (end, words, _) in ends.items():
        assert end in ("ok", "refused"), f"{name}: {words}"

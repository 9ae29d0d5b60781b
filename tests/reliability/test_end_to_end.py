"""The command as a user starts it: its table, its files, and a run that survives kill -9 and SIGTERM."""

import contextlib
import csv
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from python_process import QUICK, ROOT, environment, python
from run_fixture import SMALL_FLAGS

from mpcl_jax.config.schema import ORACLES, QUICK_BASELINES
from mpcl_jax.evaluation import verification
from mpcl_jax.evaluation.number_text import shown_name
from mpcl_jax.runs.memory import open_memory
from mpcl_jax.system.errors import STOPPED

# Variables that users set in their shells and that must not change a run.
SHELL = QUICK | {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_TRANSFER_GUARD": "disallow",
    "MPLBACKEND": "nothing_like_this",
}


def words_of(workdir: pathlib.Path, *options: str) -> list[str]:
    words = ["-m", "mpcl_jax.main", "--config", "configs/smoke.py", "--workdir", str(workdir)]
    return [*words, "--config.protocol.folds=2", *SMALL_FLAGS, *options]


def started(workdir: pathlib.Path, *options: str, **variables: str) -> str:
    """The output of the finished command."""
    return python(*words_of(workdir, *options), **SHELL | variables).stdout


def table_in(printed: str) -> str:
    return printed[printed.index("\n## ") : printed.index("written to")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and output of a run without a break."""
    workdir = tmp_path_factory.mktemp("smoke") / "whole"
    return workdir, started(workdir)


def test_the_run_prints_its_data_split_progress_and_table(whole):
    _, printed = whole
    assert "data   simulated: 72 windows, 6 subjects, 10 emotions" in printed
    assert "split  subject_kfold: subjects held out" in printed
    for number in (1, 2):
        assert f"fold {number} of 2  held out: 3 subjects" in printed
        assert f"fold {number} of 2  epoch 12/12  loss " in printed
    rows = [line.split("|")[1].strip() for line in table_in(printed).splitlines() if line.startswith("| ")]
    assert rows[0] == "method" and rows[-2:] == ["MPCL", "stimulus mean (oracle)"]
    baselines = [name for name in QUICK_BASELINES if name not in ORACLES]
    assert rows[2:-2] == list(map(shown_name, baselines))


def test_the_run_leaves_its_files(whole):
    workdir, printed = whole
    files = [p for p in workdir.rglob("*") if p.is_file() and "checkpoints" not in p.parts]
    files = {str(p.relative_to(workdir)) for p in files}
    documents = {"config.json", "data.json", "made_with.json", "manifest.json", "metrics.jsonl", ".lock"}
    documents |= {"environment.json", "audit.json", "selection.json"}
    tables = {"table.md", "table.csv", "subjects.csv", "predictions.csv", "report.html"}
    tables |= {"statistics.csv", "pairs.csv"}
    arrays = "predictions", "baselines", "inspection"
    of_folds = {f"folds/0{k}/{name}.npz" for k in range(2) for name in arrays}
    of_folds |= {f"folds/0{k}/memory.jsonl" for k in range(2)}
    assert files == documents | tables | of_folds
    assert "python -m mpcl_jax.main --config configs/smoke.py" in (workdir / "table.md").read_text()
    written = (workdir / "table.md").read_text()
    assert set(table_in(printed).splitlines()) <= set(written.splitlines())
    assert "audit  green: 7 checks, no leak found" in printed
    assert verification.check_run(workdir).differences == ()
    for name in ("config.json", "data.json", "manifest.json"):
        json.loads((workdir / name).read_text())
    assert len((workdir / "metrics.jsonl").read_text().splitlines()) == 2 * 12
    with (workdir / "predictions.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 72


# The runs below leave out what they do not compare: most baselines and the page.
SHORT = ("--config.benchmark.baselines=train_mean", "--config.log.report=false")


@contextlib.contextmanager
def running(workdir: pathlib.Path, *, until: str):
    """A run that has just written `until` to its metrics."""
    with subprocess.Popen(
        [sys.executable, *words_of(workdir, *SHORT)],
        cwd=ROOT,
        env=environment(**SHELL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        metrics, deadline = workdir / "metrics.jsonl", time.monotonic() + 600
        while not (metrics.exists() and until in metrics.read_text()):
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        yield run


def killed_in_the_first_fold(workdir: pathlib.Path) -> bool:
    """Starts a run and kills it after epoch 5 of 12; False if the run was faster."""
    with running(workdir, until='{"fold": 0, "epoch": 5') as run:
        run.send_signal(signal.SIGKILL)
    return not (workdir / "folds" / "00" / "predictions.npz").exists()


def stopped_in_the_second_fold(workdir: pathlib.Path) -> None:
    """Resumes after the kill, and stops after the epoch of the SIGTERM."""
    with running(workdir, until='{"fold": 1, "epoch": 2') as run:
        run.send_signal(signal.SIGTERM)
        printed = run.stderr.read()
    if run.returncode != 0:  # 0: the run was faster
        assert run.returncode == STOPPED
        assert "stopping after this epoch" in printed and "the same command continues" in printed
        last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
        assert (workdir / "folds" / "01" / "checkpoints" / str(last["epoch"])).is_dir()


def test_a_run_that_is_killed_and_then_stopped_ends_in_the_same_bits(whole, tmp_path):
    workdir = next(tmp_path / x for x in "abc" if killed_in_the_first_fold(tmp_path / x))
    stopped_in_the_second_fold(workdir)

    printed = started(workdir, *SHORT, PYTHONIOENCODING="ascii")  # a terminal that has no arrows

    assert "fold 1 of 2  finished before" in printed
    assert "fold 2 of 2" in printed
    assert "| MPCL " in table_in(printed)
    for name in ("metrics.jsonl", "predictions.csv", *(f"folds/0{k}/predictions.npz" for k in range(2))):
        assert (workdir / name).read_bytes() == (whole[0] / name).read_bytes(), name
    for number in range(2):
        memories = [open_memory(folder / "folds" / f"0{number}") for folder in (workdir, whole[0])]
        assert all(np.array_equal(a, b) for a, b in zip(*(memory[3:7] for memory in memories), strict=True))

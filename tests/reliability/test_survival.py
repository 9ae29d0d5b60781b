"""kill -9 and SIGTERM at random moments of the real command: the run still ends in the same bits.

A run is started again and again. A signal ends each start: anywhere (start and compilation included), while a
checkpoint is written, or while a fold is evaluated. Every start must resume from the newest checkpoint, and every
run that ends must equal a run without signals. `pytest -m long -s` prints the figures.
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
import pytest
from python_process import QUICK, ROOT, environment
from run_fixture import bits

from mpcl_jax.system.checksums import steps_in
from mpcl_jax.system.errors import STOPPED
from mpcl_jax.train.arrays import read_tree

FOLDS, EPOCHS, EVERY = 3, 12, 2


class Hit(NamedTuple):
    """A process after its signal."""

    moment: str
    code: int  # of the process; 0 without a signal
    lost: int  # finished epochs that no checkpoint holds


def started(workdir: pathlib.Path) -> subprocess.Popen:
    command = [
        *(sys.executable, "-m", "mpcl_jax.main", "--config", "configs/smoke.py", "--workdir", str(workdir)),
        *(f"--config.train.checkpoint_every={EVERY}", "--config.benchmark.baselines=('train_mean',)"),
    ]
    printed = (workdir.parent / f"{workdir.name}.txt").open("w")
    where = {"cwd": ROOT, "env": environment(**QUICK), "stdout": printed}
    return subprocess.Popen(command, stderr=subprocess.STDOUT, **where)


def printed_by(workdir: pathlib.Path) -> str:
    return (workdir.parent / f"{workdir.name}.txt").read_text()


def fold(workdir: pathlib.Path, number: int) -> pathlib.Path:
    return workdir / "folds" / f"{number:02d}"


def running_fold(workdir: pathlib.Path) -> int:
    """The first fold without predictions; FOLDS where all have them."""
    return next((k for k in range(FOLDS) if not (fold(workdir, k) / "predictions.npz").exists()), FOLDS)


def saved_epochs(workdir: pathlib.Path, number: int) -> int:
    return max(steps_in(fold(workdir, number) / "checkpoints"), default=0)


def logged(workdir: pathlib.Path) -> list[dict]:
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def is_reached(moment: str, workdir: pathlib.Path, begin: int, more: int) -> bool:
    number = running_fold(workdir)
    if moment == "saving":
        return (
            len(logged(workdir)) > begin and (fold(workdir, number) / "checkpoints" / ".unfinished").exists()
        )
    if moment == "evaluating":
        return number == FOLDS or saved_epochs(workdir, number) == EPOCHS
    return len(logged(workdir)) >= begin + more


def hit(workdir: pathlib.Path, number: signal.Signals, rng) -> Hit:
    """Starts the command and sends the signal at a random moment, unless the command is faster."""
    moment = rng.choice(["anywhere", "saving", "evaluating"], p=[0.5, 0.35, 0.15])
    begin, more = len(logged(workdir)), int(rng.integers(0, 9))
    delay = rng.uniform(0, 8.0 if moment == "anywhere" and more == 0 else 0.3)
    with started(workdir) as process:
        # SIGTERM is handled as soon as the command has read its settings; before that there is nothing to save.
        while number == signal.SIGTERM and process.poll() is None and "run folder" not in printed_by(workdir):
            time.sleep(0.005)
        while process.poll() is None and not is_reached(moment, workdir, begin, more):
            time.sleep(0.005)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    of_fold = running_fold(workdir)
    seen = max((x["epoch"] for x in logged(workdir) if x["fold"] == of_fold), default=0)
    return Hit(str(moment), process.returncode, seen - saved_epochs(workdir, of_fold))


def digest(workdir: pathlib.Path) -> str:
    """Of the results of a run: log, predictions and the bytes of the last checkpoint of each fold."""
    whole = hashlib.sha256()
    for name in ("metrics.jsonl", "predictions.csv", *(f"folds/0{k}/predictions.npz" for k in range(FOLDS))):
        whole.update((workdir / name).read_bytes())
    for k in range(FOLDS):
        state = read_tree(fold(workdir, k) / "checkpoints" / str(EPOCHS) / "state")
        whole.update(repr(bits(state)).encode())
    return whole.hexdigest()


def survive(folder: pathlib.Path, number: signal.Signals, hits: int, expected: str, seed: int) -> list[Hit]:
    """Starts runs until `hits` signals have ended one; checks every start and every run that ends by itself."""
    rng, struck, run = np.random.default_rng(seed), [], 0
    workdir = folder / "run0"
    while len(struck) < hits:
        before, of_fold = saved_epochs(workdir, running_fold(workdir)), running_fold(workdir)
        result = hit(workdir, number, rng)
        resumed = re.search(rf"fold {of_fold + 1} of {FOLDS}.*resumed after epoch (\d+)", printed_by(workdir))
        began = f"fold {of_fold + 1} of {FOLDS}" in printed_by(workdir)
        assert not began or of_fold == FOLDS or int(resumed[1] if resumed else 0) == before, printed_by(
            workdir
        )
        if result.code:
            struck.append(result)
            print(len(struck), result, flush=True)
        else:
            assert digest(workdir) == expected
            run += 1
            workdir = folder / f"run{run}"
    with started(workdir) as process:
        process.wait()
    assert digest(workdir) == expected
    print(f"{len(struck)} hits, {run + 1} runs to their end, all with the same bits", flush=True)
    return struck


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The digest of a run without signals."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    with started(workdir) as process:
        assert process.wait() == 0, printed_by(workdir)
    return digest(workdir)


@pytest.mark.long
@pytest.mark.parametrize(
    "number, hits, code, lost",
    [(signal.SIGKILL, 100, -signal.SIGKILL, EVERY), (signal.SIGTERM, 20, STOPPED, 0)],
    ids=["100_kills", "20_requests"],
)
def test_a_run_that_is_hit_often_ends_in_the_same_bits(tmp_path, expected, number, hits, code, lost):
    struck = survive(tmp_path, number, int(os.environ.get("HITS", hits)), expected, seed=int(number))
    moments = {m: sum(x.moment == m for x in struck) for m in ("anywhere", "saving", "evaluating")}
    most = max(x.lost for x in struck)
    print(f"{len(struck)} signals {moments}, most finished epochs lost: {most}")
    assert {x.code for x in struck} == {code} and most <= lost

"""Several processes train as one: the same result; a killed, late or different process is named."""

import json
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import numpy as np
import pytest
from python_process import ROOT, environment
from run_fixture import (
    SMALL,
    forty_epochs,
    last_training,
    quickly_prepared,
    sharding_config,
    table_config,
    tiny_config,
)

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.train import loop
from mpcl_jax.train.evaluate import Predictions, load_predictions
from mpcl_jax.train.fold_inspection import load_inspection
from mpcl_jax.train.run import Run, prepare

PROMISED = 120  # seconds within which all others end
PATIENT = 2400  # seconds for whole trainings on a crowded machine, compilation included
# The messages of JAX, of JAX where process 0 is gone, and of this package.
GONE = "tasks are unhealthy|another task died|ProcessError: another process is gone"


class Two(NamedTuple):
    """What two processes left, the second of which was killed at the end."""

    folder: pathlib.Path
    codes: list[int]  # of the process that was left, and of the killed one
    message: str  # of the process that was left
    errors: list[dict[str, str]]  # answers of both
    alone: Run  # the same training in this process
    predictions: Predictions  # of that training


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def launch(folder: pathlib.Path, count: int, task: str) -> list[subprocess.Popen]:
    """Starts `count` processes of processes_child.py, each of which writes to FOLDER/process_ID.txt."""
    port = free_port()
    variables = environment(TEST_COMPILED=jax.config.jax_compilation_cache_dir or "")
    command = [sys.executable, "tests/processes_child.py", str(folder), str(port), str(count)]
    folder.mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            [*command, str(number), task],
            cwd=ROOT,
            env=variables,
            stdout=(folder / f"out_{number}.txt").open("w"),
            stderr=(folder / f"err_{number}.txt").open("w"),
        )
        for number in range(count)
    ]


def ends(started: list[subprocess.Popen], seconds: float) -> list[int]:
    """Exit codes of processes that all end within `seconds`; those that do not are killed and named."""
    deadline = time.monotonic() + seconds
    try:
        return [process.wait(max(deadline - time.monotonic(), 0.1)) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two processes that resume after the first epoch of a run of this process."""
    folder = tmp_path_factory.mktemp("two")
    alone = quickly_prepared(sharding_config(**SMALL), folder / "alone")
    (predictions,) = loop.train_folds(alone)
    shutil.copytree(alone.workdir, folder / "training")
    fold = folder / "training" / "folds" / "00"
    shutil.rmtree(fold / "checkpoints" / "2")
    (fold / "predictions.npz").unlink()
    first, second = launch(folder, 2, "dies")
    killed = second.wait(PATIENT)
    codes = [*ends([first], PROMISED), killed]
    message = (folder / "err_0.txt").read_text()
    assert (folder / "answers_1.json").exists(), message[-3000:]
    errors = [json.loads((folder / f"answers_{number}.json").read_text()) for number in (0, 1)]
    return Two(folder, codes, message, errors, alone, predictions)


def test_the_others_end_with_a_message_when_one_is_killed(two):
    left, killed = two.codes
    assert killed == -signal.SIGKILL
    assert left not in (0, 2)
    assert re.search(GONE, two.message)


def test_the_run_resumes_and_only_the_first_process_prints(two):
    assert "resumed after epoch 1" in (two.folder / "out_0.txt").read_text()
    assert (two.folder / "out_1.txt").read_text() == ""
    log = [json.loads(line) for line in (two.folder / "training" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2]


def test_two_processes_train_like_one(two):
    both = load_predictions(two.folder / "training" / "folds" / "00" / "predictions.npz")
    np.testing.assert_array_equal(two.predictions.rows, both.rows)
    np.testing.assert_allclose(two.predictions.predicted, both.predicted, atol=1e-5)
    runs = [two.alone._replace(workdir=two.folder / name) for name in ("alone", "training")]
    states = [last_training(run)[1].state for run in runs]
    assert int(states[0].step) == int(states[1].step) == 10
    for field in states[0].prototypes._fields:
        memories = [getattr(state.prototypes, field) for state in states]
        # The sharp assignment to slots magnifies what summing in another order leaves.
        np.testing.assert_allclose(*memories, rtol=1e-4, atol=1e-3, err_msg=field)


def test_a_table_of_folds_side_by_side_is_that_of_folds_one_by_one(two, tmp_path):
    run = quickly_prepared(table_config(**SMALL), tmp_path)
    alone = loop.train_folds(run)
    assert len(alone) == 3
    for number, one in enumerate(alone):
        fold = f"folds/{number:02d}"
        together = load_predictions(two.folder / "table" / fold / "predictions.npz")
        np.testing.assert_array_equal(one.rows, together.rows)
        np.testing.assert_allclose(one.predicted, together.predicted, atol=1e-5)
        inspected = [load_inspection(x / fold / "inspection.npz") for x in (tmp_path, two.folder / "table")]
        for name, mine, theirs in zip(inspected[0]._fields, *inspected, strict=True):
            # Without fusion there are no scales.
            assert mine.shape == theirs.shape and (mine.size or name == "without_scale"), name
            if mine.dtype.kind == "U":
                assert (mine == theirs).mean() > 0.95, name  # rounding may decide between two near windows
            else:
                np.testing.assert_allclose(mine, theirs, atol=1e-3, err_msg=name)
    logs = [
        sorted((x["fold"], x["epoch"], x["loss"], x["validation_kl"]) for x in map(json.loads, file.open()))
        for file in (tmp_path / "metrics.jsonl", two.folder / "table" / "metrics.jsonl")
    ]
    np.testing.assert_allclose(*logs, rtol=1e-4)


@pytest.mark.parametrize("process", [0, 1])
def test_all_processes_name_what_is_refused(two, process):
    errors = two.errors[process]
    expected = "ProcessError: process 1 has other settings than process 0"
    assert errors["other seed"].startswith(expected)
    assert errors["other folder"].startswith("ConfigError: ")
    assert "config.model.dropout was 0.2, is 0.3" in errors["other folder"]
    last = ["KeyError: 'x'", "RuntimeError: process 0: KeyError: 'x'"][process]
    refused = ["DataError: manifest.json: is damaged", "StorageError: no room"]
    assert errors["mistakes"] == [*refused, last]


def test_a_late_process_is_named(two):
    expected = "ProcessError: the end: process 1 did not come within 5 s; start all processes again"
    assert two.errors[0]["late"].startswith(expected)


def test_folds_and_devices_that_do_not_fit_are_refused(tmp_path):
    many = {"train__generator": "threefry2x32", "train__folds_at_once": 4}
    with pytest.raises(ConfigError, match="config.train.folds_at_once = 4: this run has 3 fold"):
        prepare(tiny_config(**many), tmp_path)
    with pytest.raises(ConfigError, match="fold_axis = 2: must divide the number of devices, 1"):
        prepare(tiny_config(**many, distributed__fold_axis=2), tmp_path)


# ---- the full figures ----


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """Predictions of one process after sixteen epochs."""
    return loop.train_folds(quickly_prepared(forty_epochs(16), tmp_path_factory.mktemp("longer")))[0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the training and the table of one process."""
    folder = tmp_path_factory.mktemp("alone")
    loop.train_folds(quickly_prepared(sharding_config(), folder / "training"))
    loop.train_folds(quickly_prepared(table_config(), folder / "table"))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_are_like_one(alone, tmp_path, count):
    ended = ends(launch(tmp_path, count, "all"), PATIENT)
    assert ended == [0] * count, (tmp_path / "err_0.txt").read_text()[-3000:]
    files = [file.relative_to(alone) for file in alone.glob("*/folds/*/predictions.npz")]
    assert len(files) == 4
    for file in files:
        one, several = (load_predictions(folder / file).predicted for folder in (alone, tmp_path))
        np.testing.assert_allclose(one, several, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("trial", range(20))
def test_the_others_end_and_a_restart_resumes_after_a_kill_or_a_stop(trial, longer, tmp_path):
    rng = random.Random(trial)
    count, how = rng.choice((2, 4)), rng.choice((signal.SIGKILL, signal.SIGSTOP))
    started, log = launch(tmp_path, count, "longer"), tmp_path / "training" / "metrics.jsonl"
    victim, epoch = rng.choice(started), rng.randrange(1, 14)
    while not log.exists() or log.read_text().count("\n") < epoch:
        time.sleep(0.05)
        assert all(process.poll() is None for process in started)
    victim.send_signal(how)
    begin = time.monotonic()
    try:
        codes = ends([process for process in started if process is not victim], PROMISED)
    finally:
        victim.kill()
    took = time.monotonic() - begin
    for number, process in enumerate(started):
        if process is not victim:
            assert process.returncode not in (0, 2)
            assert re.search(GONE, (tmp_path / f"err_{number}.txt").read_text())
    assert ends(launch(tmp_path, count, "longer"), PATIENT) == [0] * count
    found = re.search(r"resumed after epoch (\d+)", (tmp_path / "out_0.txt").read_text())
    resumed = int(found[1]) if found else 0  # hit before the first checkpoint was complete
    assert resumed >= epoch - 1
    again = load_predictions(tmp_path / "training" / "folds" / "00" / "predictions.npz")
    apart = np.abs(again.predicted - longer.predicted).max()
    print(
        f"trial {trial}: process {started.index(victim)} of {count}, {how.name} after epoch {epoch}; others ended "
        f"in {took:.0f} s with {sorted(set(codes))}; resumed after {resumed}; predictions {apart:.1e} apart"
    )
    assert apart < 1e-4

"""The main table as a command: jobs on two workers, killed, resumed, and the same to the last bit."""

import csv
import re
import signal
import subprocess
import sys

import pytest
import worker_functions
from python_process import QUICK, environment
from table_fixture import config_file, made, quick_workers, results, words_of

from experiments.tables import averaged
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.data.io.npz_reader import parse_npz
from mpcl_jax.data.pipeline import load
from mpcl_jax.evaluation.audit.verdict import audit
from mpcl_jax.evaluation.jobs.workers import Job, run_jobs
from mpcl_jax.evaluation.verification import check_shipped
from mpcl_jax.train.interrupt import StopRequest

WORDS = ("--seeds=2", "--config.benchmark.baselines=train_mean,knn")


@pytest.fixture(scope="module")
def killed_and_resumed(tmp_path_factory):
    """Folder of a table that was killed when its first fold was finished, and what the second start printed."""
    folder = tmp_path_factory.mktemp("table")
    config = config_file(folder, protocol__folds=2)
    words = (*WORDS, "--workers=2", "--baseline-seeds=2")
    first = subprocess.Popen(
        [sys.executable, *words_of("main_table", config, folder, *words)],
        env=environment(**QUICK),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    for line in first.stdout:
        printed.append(line)
        if line.startswith("[") and "MPCL" in line:
            first.send_signal(signal.SIGKILL)
    assert first.wait(60) == -signal.SIGKILL, "".join(printed)
    with quick_workers():
        yield folder, config, "".join(printed), made("main_table", config, folder, *words)


def test_what_was_finished_is_not_done_again(killed_and_resumed):
    _, _, first, second = killed_and_resumed
    finished = sum(line.startswith("[") for line in first.splitlines())
    assert finished >= 1
    # Two seeds of MPCL and of two baselines, on two folds. Other jobs may end before the kill.
    found = int(second.partition(" jobs, ")[2].partition(" ")[0])
    assert "12 jobs, " in second and finished <= found <= finished + 2
    done, again = (
        {line.partition("] ")[2].rpartition("  ")[0] for line in x.splitlines() if line.startswith("[")}
        for x in (first, second)
    )
    assert done and not done & again


def test_every_fold_is_the_sequential_one_to_the_last_bit(killed_and_resumed, tmp_path):
    folder, config, _, _ = killed_and_resumed
    job = Job("all folds", worker_functions.train_all, (str(config), tmp_path / "run"))
    assert run_jobs([job], tmp_path, 1, StopRequest()) == []
    for number in range(2):
        name = f"folds/{number:02d}/predictions.npz"
        files = tmp_path / "run" / name, folder / "table/main_table/seed_0" / name
        sequential, ours = ({key: x.tobytes() for key, x in parse_npz(file).items()} for file in files)
        assert sequential == ours


def test_the_table_is_that_of_its_predictions(killed_and_resumed):
    folder, _, _, _ = killed_and_resumed
    checked = check_shipped(folder / "results" / "main_table.csv", folder / "table" / "main_table")
    assert checked.differences == () and checked.compared > 100


def test_results_name_command_commit_and_machine_and_no_path(killed_and_resumed):
    folder, config, _, _ = killed_and_resumed
    with (folder / "results" / "main_table.csv").open() as file:
        first = file.readline()
        rows = list(csv.DictReader(file))
    assert first.startswith("# python -m experiments.tables.main_table main_table --config ")
    assert "--seeds=2" in first
    assert " cores, jax " in first and str(folder / "jobs") not in first
    assert {row["method"]: row["seeds"] for row in rows} == {"train_mean": "2", "knn": "2", "MPCL": "2"}
    names = {file.name.removeprefix("main_table") for file in (folder / "results").iterdir()}
    assert names == {".csv", "_subjects.csv", "_statistics.csv", "_pairs.csv", "_ranks.png"}
    keys = list((folder / "jobs").glob("*/job.json"))
    assert len(keys) == 12 and not list((folder / "jobs").glob("*/folds/00/checkpoints"))


def test_averaging_shares_the_jobs_of_the_main_table(killed_and_resumed, tmp_path):
    folder, config, _, _ = killed_and_resumed
    printed = made("averaged", config, tmp_path, *WORDS, f"--cache={folder / 'jobs'}")
    assert re.search(r"^12 \w+, 12 ", printed, re.M)  # jobs, all finished before
    kl = {(row["averaged over"], row["method"]): float(row["kl"]) for row in results(tmp_path, "averaged")}
    cases = {averaged.ONE, averaged.SEEDS, averaged.SO_FAR, averaged.TRIAL, averaged.BOTH}
    assert {case for case, _ in kl} == cases
    assert len({kl[case, "train_mean"] for case, _ in kl}) == 1
    # Jensen: KL(y ‖ ·) of a mean of distributions is at most the mean of their KL, for every window.
    assert kl[averaged.TRIAL, "knn"] <= kl[averaged.ONE, "knn"] + 1e-6
    assert kl[averaged.BOTH, "MPCL"] < kl[averaged.TRIAL, "MPCL"] < kl[averaged.ONE, "MPCL"]
    assert kl[averaged.SEEDS, "MPCL"] < kl[averaged.ONE, "MPCL"]
    assert re.search(r"- the whole trial: MPCL against one window, one seed: (better|not sig)", printed)
    assert "- the whole trial: kNN against MPCL: " in printed


@pytest.mark.long  # quickly: tests/estimator/test_written_trials.py and test_sequential_table.py
def test_a_table_of_written_trials_shows_the_memory(tmp_path):
    one = {"protocol__only": (0,), "protocol__folds": 2, "protocol__validation": 0.0}
    config = config_file(tmp_path, protocol__kind="sequential", data__simulate__subjects=9, **one)
    words = ("--seeds=1", "--baseline-seeds=1", "--workers=2", "--config.benchmark.baselines=train_mean")
    with quick_workers():
        printed = made("main_table", config, tmp_path, *words)
    assert "Personal memory" in printed
    rows = list(csv.DictReader((tmp_path / "results" / "main_table_memory.csv").open().readlines()[1:]))
    assert [row["method"] for row in rows] == ["train_mean", "MPCL"]
    run = tmp_path / "table" / "main_table" / "seed_0"
    found = audit(run, load(from_command_line(str(config), []).data)).findings
    (written,) = [finding for finding in found if finding.check == "written trials"]
    assert written.colour == "green"
    assert "zero_shot_" in (run / "predictions.csv").read_text().splitlines()[0]


def test_a_users_mistake_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        made("main_table", config_file(tmp_path), tmp_path, "--config.model.widht=4")
    printed = capsys.readouterr().err
    assert printed.startswith("error: config.model.widht") and printed.count("\n") == 1

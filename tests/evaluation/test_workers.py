"""Processes that share the jobs of a table: what they print, how they die, how they are stopped."""

import ast
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import worker_functions as work
from joblib.externals.loky import get_reusable_executor
from python_process import ROOT, environment

from mpcl_jax.evaluation.jobs.workers import Job, run_jobs
from mpcl_jax.train.interrupt import StopRequest


def jobs_of_all_kinds(folder) -> list[Job]:
    """Two that end well, one that dies once, one that always dies, one that diverges."""
    return [
        Job("MPCL  seed 0  fold 1 of 2", work.note, (folder / "one",)),
        Job("dies once", work.die_once, (folder / "three",)),
        Job("dies", work.die, ()),
        Job("diverges", work.diverge, ()),
        Job("MPCL  seed 0  fold 2 of 2", work.note, (folder / "two",)),
    ]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Folder and failures of a table with all kinds of jobs in two workers."""
    folder = tmp_path_factory.mktemp("jobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
        get_reusable_executor().shutdown()
        yield folder, run_jobs(jobs_of_all_kinds(folder), folder, 2, StopRequest())
    get_reusable_executor().shutdown()  # workers with these flags


def test_all_other_jobs_are_done_and_failed_ones_are_named(ended):
    folder, failures = ended
    assert (folder / "one").exists() and (folder / "two").exists()
    assert (folder / "three").read_text() == "done"  # again, after its process died
    died = "dies: its process died (killed? out of memory?)"
    assert failures == [died, "diverges: fold 1 of 2: not finite"]


def test_a_worker_has_one_thread_keeps_flags_and_leaves_ctrl_c_to_its_parent(ended):
    folder, _ = ended
    flags = "--xla_cpu_enable_fast_math=false --xla_cpu_multi_thread_eigen=false"
    for name in ("one", "two"):
        assert ast.literal_eval((folder / name).read_text()) == ("1", flags, 1, True)


def test_a_finished_job_is_counted_with_its_time_and_its_warnings(tmp_path, capsys):
    run_jobs([Job("MPCL  seed 0", work.note, (tmp_path / "one",))], tmp_path, 1, StopRequest())
    printed = capsys.readouterr()
    assert printed.out == "[1/1] MPCL  seed 0  0 s, about 0 s left\n"
    assert printed.err == "MPCL  seed 0  warning: a step was skipped\n"


def test_a_mistake_in_the_program_is_raised(tmp_path):
    with pytest.raises(KeyError, match="a mistake in the program"):
        run_jobs([Job("wrong", work.forget, ())], tmp_path, 1, StopRequest())


def started(folder: pathlib.Path):
    """A table of two jobs of ten minutes in two workers, once both have begun, and the process ids below it."""
    table = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "worker_functions.py"), str(folder)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    files = [folder / name / "begun" for name in ("a", "b")]
    until(lambda: all(file.exists() and file.read_text() for file in files), table)
    tasks = pathlib.Path(f"/proc/{table.pid}/task").glob("*/children")
    return table, [int(number) for task in tasks for number in task.read_text().split()]


def until(holds, table=None, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        assert table is None or table.poll() is None, table.stderr.read()
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_lets_every_worker_save(tmp_path, number):
    table, workers = started(tmp_path)
    table.send_signal(number)
    _, err = table.communicate(timeout=120)
    assert table.returncode == 75, err
    assert "Traceback" not in err
    assert all((tmp_path / name / "saved").exists() for name in ("a", "b"))
    until(lambda: not any(map(alive, workers)))


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_no_worker_outlives_a_killed_table(tmp_path):
    table, workers = started(tmp_path)
    table.kill()
    table.communicate(timeout=120)
    assert len(workers) >= 2
    until(lambda: not any(map(alive, workers)))
    assert not (tmp_path / "a" / "saved").exists()

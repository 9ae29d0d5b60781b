"""Processes that share the pieces of a table: what they print, how they die, how they are stopped."""

import ast
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import worker_functions as work

from mpcl_jax.evaluate.jobs import workers
from mpcl_jax.evaluate.jobs.workers import Failure, Job, _Lines, _Queue, run_jobs, seconds_left
from mpcl_jax.train.interrupt import StopRequest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def jobs_of_all_kinds(folder) -> list[Job]:
    """Two that work in one group, one that dies once, one that always dies, one that diverges."""
    return [
        Job("MPCL  seed 0  fold 1 of 2", "a", work.note, (folder / "one",)),
        Job("MPCL  seed 0  fold 2 of 2", "a", work.note, (folder / "two",)),
        Job("dies once", "b", work.die_once, (folder / "three",)),
        Job("dies", "c", work.die, ()),
        Job("diverges", "d", work.diverge, ()),
    ]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Folder and failures of a table with all kinds of pieces in two workers."""
    folder = tmp_path_factory.mktemp("pieces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
        return folder, run_jobs(jobs_of_all_kinds(folder), 2, StopRequest())


def test_every_piece_that_can_is_done_and_the_others_are_named(ended):
    folder, failures = ended
    assert (folder / "one").exists() and (folder / "two").exists()
    assert failures == [
        Failure("dies", "its process died (killed? out of memory?)"),
        Failure("diverges", "fold 1 of 2: not finite"),
    ]


def test_a_piece_whose_process_dies_is_done_again(ended):
    folder, _ = ended
    assert (folder / "three").read_text() == "done"


def test_a_worker_has_one_thread_keeps_flags_leaves_ctrl_c_to_its_parent_and_stays_with_a_group(ended):
    folder, _ = ended
    told = [ast.literal_eval((folder / name).read_text()) for name in ("one", "two")]
    flags = "--xla_cpu_enable_fast_math=false --xla_cpu_multi_thread_eigen=false"
    assert [x[1:] for x in told] == [("1", flags, "1", True)] * 2
    assert told[0][0] == told[1][0] != os.getpid()


def test_every_line_bears_the_name_of_its_piece_once(tmp_path, capfd):
    job = Job("MPCL  seed 0  fold 1 of 2", "a", work.note, (tmp_path / "one",))
    run_jobs([job], 1, StopRequest())
    printed = capfd.readouterr().out
    assert printed.startswith(f"{job.name}  first line\n{job.name}  second line\n[1/1] {job.name}  ")
    print("fold 1 of 2  epoch 3", file=_Lines(job.name, sys.__stdout__))
    assert capfd.readouterr().out == f"{job.name}  epoch 3\n"


def test_a_mistake_in_the_program_is_raised():
    with pytest.raises(KeyError, match="a mistake in the program"):
        run_jobs([Job("wrong", "a", work.forget, ())], 1, StopRequest())


def test_nothing_to_do_starts_nothing():
    assert run_jobs([], 2, StopRequest()) == []


def test_a_worker_keeps_to_its_group_then_takes_one_that_nobody_is_at():
    queue = _Queue([Job(name, name[0], work.die, ()) for name in ("a1", "a2", "b1", "b2", "a3")])
    first, _ = queue.take("")
    second, _ = queue.take("")
    assert (first.name, second.name) == ("a1", "b1")
    assert [queue.take(group)[0].name for group in ("a", "b", "b")] == ["a2", "b2", "a3"]
    assert queue.take("a") is None


def test_quick_pieces_say_nothing_of_slow_ones():
    """A hundred baselines of no time, and trainings of which the first has been at work for 30 s."""
    baselines = {"baselines": [0.01] * 100}
    assert seconds_left(["MPCL"] * 49, [("MPCL", 30.0)], baselines, 2) == 49 * 30 / 2
    assert seconds_left(
        ["MPCL"] * 8 + ["baselines"] * 9, [], baselines | {"MPCL": [60.0]}, 1
    ) == pytest.approx(480.09)


def test_pieces_that_were_found_finished_do_not_count_as_work_of_no_time():
    assert seconds_left(["a"] * 4, [], {"a": [0.0] * 30 + [50.0, 70.0]}, 1) == 240
    assert seconds_left(["unknown"], [], {"a": [5.0], "b": [90.0]}, 1) == 90
    assert seconds_left([], [("a", 20.0)], {"a": [60.0]}, 4) == 40  # no worker can help the last one
    assert seconds_left([], [], {"a": [0.0]}, 2) == 0


def test_a_table_tells_how_long_it_takes(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: now[0])
    queue = _Queue([Job(name, name[0], work.die, ()) for name in ("b1", "m1", "m2")], 2)
    quick, slow = queue.take("")[0], queue.take("")[0]
    now[0] = 100.0
    queue.end(quick, 1, 0.0)
    assert "[1/3] b1  0 s, about 2 min left in all" in capsys.readouterr().out
    now[0] = 120.0
    queue.end(slow, 1, 120.0)
    assert "[2/3] m1  120 s, about 2 min left in all" in capsys.readouterr().out


def started(folder: pathlib.Path):
    """A table of two pieces of ten minutes, once both have begun, and the numbers of its workers."""
    table = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "worker_functions.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    files = [folder / name / "begun" for name in ("a", "b")]
    until(lambda: all(file.exists() and file.read_text() for file in files), table)
    return table, [int(file.read_text()) for file in files]


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
    assert not any(map(alive, workers))


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_no_worker_outlives_a_killed_table(tmp_path):
    table, workers = started(tmp_path)
    table.kill()
    table.communicate(timeout=120)
    until(lambda: not any(map(alive, workers)))
    assert not (tmp_path / "a" / "saved").exists()

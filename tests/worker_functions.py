"""The work of the jobs of test_workers.py and test_main_table.py, in processes that import this file by its name."""

import os
import pathlib
import signal
import sys
import time

from threadpoolctl import threadpool_info

from mpcl_jax.evaluation.jobs.workers import Job, run_jobs
from mpcl_jax.system.errors import Stopped, TrainingError
from mpcl_jax.train.interrupt import listening


def note(file: pathlib.Path, stop) -> None:
    """Writes the threads of this process, and whether it ignores Ctrl-C."""
    print("an epoch")
    print("warning: a step was skipped", file=sys.stderr)
    ctrl_c = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    threads = max(pool["num_threads"] for pool in threadpool_info())
    file.write_text(repr((os.environ["NPROC"], os.environ["XLA_FLAGS"], threads, ctrl_c)))


def die_once(file: pathlib.Path, stop) -> None:
    """Is killed the first time."""
    if not file.exists():
        file.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    file.write_text("done")


def die(stop) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def diverge(stop) -> None:
    raise TrainingError("fold 1 of 2: not\nfinite")


def forget(stop) -> None:
    raise KeyError("a mistake in the program")


def train(folder: pathlib.Path, seconds: float, stop) -> None:
    """Like a training: epochs of 10 ms, in which a request waits, then the state is saved."""
    (folder / "begun").write_text(str(os.getpid()))
    with stop.deferred():
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stop.requested:
            time.sleep(0.01)
        (folder / "saved").write_text("")


def train_all(config_file: str, folder: pathlib.Path, stop) -> None:
    """Trains all folds of a config file one after the other in this process."""
    # Here, because the other functions need no JAX.
    from mpcl_jax.config.command_line import from_command_line
    from mpcl_jax.train.devices import keep_compiled_programs
    from mpcl_jax.train.loop import train_folds
    from mpcl_jax.train.run import prepare

    keep_compiled_programs()
    train_folds(prepare(from_command_line(config_file, []), folder))


if __name__ == "__main__":  # a table of two jobs, for signals and kills
    # By this name: what stands in __main__ is another module for a worker.
    from worker_functions import train as work

    folders = [pathlib.Path(sys.argv[1]) / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    try:
        with listening() as stop:
            run_jobs([Job(f.name, work, (f, 600.0)) for f in folders], folders[0].parent, 2, stop)
    except Stopped:
        sys.exit(75)

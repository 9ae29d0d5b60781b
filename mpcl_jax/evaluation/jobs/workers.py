"""Jobs of a table in parallel processes, through joblib.

On one machine joblib uses loky processes; here each has one thread, because two single-threaded processes do 1.6
times the work of one process with two threads: kernels of this size leave a second thread idle. Within
`joblib.parallel_config(backend="dask")` or `"ray"` the same jobs run on a cluster. The results of a job are files in
the cache, which all workers must see; only its warnings and its duration are sent back.
"""

import contextlib
import io
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import joblib
from threadpoolctl import threadpool_limits

from mpcl_jax.baselines import registry as baselines
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data import registry as datasets
from mpcl_jax.system.errors import AT_ONCE, Stopped, StorageError, TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.system.storage import make_folder
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.types import DataError

# XLA reads them when JAX looks for devices, which is after the first job of a worker has begun.
ONE_THREAD = {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
REGISTRIES = (baselines, datasets)  # modules whose entries of users are passed on to the workers
POLL = 0.2  # seconds between two checks for a request to stop
STOP = "stop"  # the file that requests all workers to stop
DIED = "its process died (killed? out of memory?)"


class Job(NamedTuple):
    """A part of a table that does not depend on any other part."""

    name: str  # "MPCL  seed 2  fold 3 of 10"
    work: Callable[..., None]  # a function of a module: work(*arguments, stop); its results are files
    arguments: tuple[Any, ...]


class _Ended(NamedTuple):
    """What a worker sends back."""

    number: int  # of the job
    seconds: float = 0.0
    problem: str = ""
    stopped: bool = False
    warnings: str = ""  # the job's stderr; its stdout is not kept


def run_jobs(jobs: Sequence[Job], folder: pathlib.Path, workers: int, stop: StopRequest) -> list[str]:
    """Runs all `jobs` in `workers` processes and returns "name: reason" of those that failed, in their order.

    A job fails that raises ConfigError, DataError, TrainingError or StorageError, or whose process dies twice;
    the other jobs run all the same. Any other exception ends everything and is raised here. When `stop` is requested,
    workers stop after their running epoch, with everything saved, and Stopped is raised. `folder`, which all workers
    must see, holds the signals between processes.
    """
    unfinished, failures, begin = dict(enumerate(jobs)), {}, time.monotonic()
    signals = folder / ".signals"
    shutil.rmtree(signals, ignore_errors=True)
    make_folder(signals)
    with stop.deferred(), _meanwhile(lambda: stop.requested and (signals / STOP).touch()):
        while unfinished and not stop.requested:
            for ended in _ended(dict(unfinished), signals, workers, stop):
                job = unfinished.pop(ended.number)
                for line in filter(None, ended.warnings.splitlines()):
                    print(f"{job.name}  {line}", file=sys.stderr, flush=True)
                done = len(jobs) - len(unfinished)
                count = f"[{done}/{len(jobs)}] {job.name}"
                if ended.problem:
                    failures[ended.number] = f"{job.name}: {ended.problem}"
                    print(f"{count}  FAILED: {ended.problem}", file=sys.stderr, flush=True)
                    continue
                left = (time.monotonic() - begin) / done * len(unfinished)
                about = f"{left / 60:.0f} min" if left >= 60 else f"{left:.0f} s"
                print(f"{count}  {ended.seconds:.0f} s, about {about} left", flush=True)
    shutil.rmtree(signals, ignore_errors=True)
    return [failures[number] for number in sorted(failures)]


def _ended(jobs: dict[int, Job], signals, workers: int, stop: StopRequest) -> Iterator[_Ended]:
    """Each job as it ends; only some of them where a process died."""
    seen = set()
    try:
        for ended in _in_parallel(jobs, signals, workers, stop):
            seen.add(ended.number)
            yield ended
        return
    except BrokenProcessPool:
        if stop.requested:
            return
    # Which process died is not known: every job that had begun runs once more, alone.
    begun = {n: job for n, job in jobs.items() if n not in seen and (signals / str(n)).exists()}
    if not begun:
        raise TrainingError("worker processes die before their first job; is there enough memory for them?")
    for number, job in begun.items():
        if not stop.requested:
            print(f"{job.name}  a process died; the job runs once more, alone", file=sys.stderr, flush=True)
            try:
                yield from _in_parallel({number: job}, signals, 1, stop)
            except BrokenProcessPool:
                yield _Ended(number, problem=DIED)


def _in_parallel(jobs: dict[int, Job], signals, workers: int, stop: StopRequest) -> Iterator[_Ended]:
    def handed_out():
        for number, job in jobs.items():
            if stop.requested:
                return
            yield joblib.delayed(_do)(job, number, signals, [each.registered() for each in REGISTRIES])

    backend = joblib.parallel.get_active_backend()[0]
    here = isinstance(backend, joblib.parallel.LokyBackend)  # not on a cluster
    # joblib runs a single worker inside this process, so there are at least two, of which one stays idle.
    parallel = joblib.Parallel(
        n_jobs=max(workers, 2),
        **({"backend": "loky", "initializer": _begin, "initargs": (os.getpid(),)} if here else {}),
        return_as="generator_unordered",
        pre_dispatch=1 if here and workers == 1 else "n_jobs",
        batch_size=1,
    )
    for ended in parallel(handed_out()):
        if not ended.stopped:
            yield ended


@contextlib.contextmanager
def _meanwhile(check: Callable[[], Any]):
    """Inside, `check` is called again and again in a thread of its own."""

    def repeat():
        while not ended.wait(POLL):
            check()

    ended = threading.Event()
    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _begin(parent: int) -> None:
    """Prepares a process of this machine: the parent handles Ctrl-C, and its death ends the process."""

    def watch():
        while os.getppid() == parent:
            time.sleep(POLL)
        os._exit(AT_ONCE)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def _do(job: Job, number: int, signals: pathlib.Path, registered: list) -> _Ended:
    """Runs a job in this worker process."""
    flags = dict.fromkeys([*os.environ.get("XLA_FLAGS", "").split(), ONE_THREAD["XLA_FLAGS"]])
    os.environ.update(ONE_THREAD | {"XLA_FLAGS": " ".join(flags)})
    for registry, entries in zip(REGISTRIES, registered, strict=True):
        registry.restore(entries)
    (signals / str(number)).touch()
    begin, stop, warnings, problem = time.monotonic(), StopRequest(), io.StringIO(), ""
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(warnings)
    try:
        with threadpool_limits(1), any_output(), quiet[0], quiet[1], _listening(stop, signals / STOP):
            job.work(*job.arguments, stop)
    except Stopped:
        return _Ended(number, stopped=True)
    except (ConfigError, DataError, TrainingError, StorageError) as mistake:
        problem = " ".join(str(mistake).split())
    return _Ended(number, time.monotonic() - begin, problem, warnings=warnings.getvalue())


@contextlib.contextmanager
def _listening(stop: StopRequest, file: pathlib.Path):
    """Inside, SIGTERM and `file` request `stop`."""
    in_main = threading.current_thread() is threading.main_thread()  # not so in a worker of Dask

    def check():
        if file.exists() and not stop.requested:
            stop.requested = not in_main  # a training checks it after each epoch
            if in_main:
                os.kill(os.getpid(), signal.SIGTERM)

    if in_main:
        signal.signal(signal.SIGTERM, stop.request)
    try:
        with _meanwhile(check):
            yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

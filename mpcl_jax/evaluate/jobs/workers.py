"""Jobs of a table in parallel processes, through joblib.

On one machine joblib uses loky processes; here each has one thread, because two single-threaded processes do 1.6
times the work of one process with two threads: kernels of this size leave a second thread idle. Within
`joblib.parallel_config(backend="dask")` or `"ray"` the same jobs run on a cluster. The results of a job are files in
the cache, which all workers must see; only its duration is sent back.
"""

import contextlib
import io
import os
import pathlib
import shutil
import signal
import statistics
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
from mpcl_jax.types import DataFileError

# XLA reads them when JAX looks for devices, which is after the first job of a worker has begun.
ONE_THREAD = {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
REGISTRIES = (baselines, datasets)  # modules whose entries of users are passed on to the workers
POLL = 0.2  # seconds between two checks for a request to stop
STOP = "stop"  # the file that asks all workers to stop
DIED = "its process died (killed? out of memory?)"


class Job(NamedTuple):
    """A part of a table that does not depend on any other part."""

    name: str  # begins every line that it prints: "MPCL  seed 2  fold 3 of 10"
    group: str  # jobs of one group share a compiled program and take about the same time
    work: Callable[..., None]  # a function of a module: work(*arguments, stop); its results are files
    arguments: tuple[Any, ...]


class Failure(NamedTuple):
    """A job without a result."""

    name: str
    reason: str


class _Outcome(NamedTuple):
    number: int  # of the job
    seconds: float
    problem: str = ""
    stopped: bool = False


def cores() -> int:
    """The cores that this process may use."""
    return joblib.cpu_count()


def run_jobs(jobs: Sequence[Job], folder: pathlib.Path, workers: int, stop: StopRequest) -> list[Failure]:
    """Runs all `jobs` in `workers` processes and returns those that failed, in their order.

    A job fails that raises ConfigError, DataFileError, TrainingError or StorageError, or whose process dies twice;
    the other jobs run all the same. Any other exception ends everything and is raised here. When `stop` is requested,
    workers stop after their running epoch, with everything saved, and Stopped is raised. `folder`, which all workers
    must see, holds the signals between processes.
    """
    groups = list(dict.fromkeys(job.group for job in jobs))
    unfinished = dict(sorted(enumerate(jobs), key=lambda item: groups.index(item[1].group)))
    failures, seconds, signals = {}, {}, folder / ".signals"
    shutil.rmtree(signals, ignore_errors=True)
    make_folder(signals)
    with stop.deferred(), _meanwhile(lambda: stop.requested and (signals / STOP).touch()):
        while unfinished and not stop.requested:
            for outcome in _outcomes(dict(unfinished), signals, workers, stop):
                job = unfinished.pop(outcome.number)
                count = f"[{len(jobs) - len(unfinished)}/{len(jobs)}] {job.name}"
                if outcome.problem:
                    failures[outcome.number] = Failure(job.name, outcome.problem)
                    print(f"{count}  FAILED: {outcome.problem}", file=sys.stderr, flush=True)
                    continue
                seconds.setdefault(job.group, []).append(outcome.seconds)
                left = seconds_left([job.group for job in unfinished.values()], seconds, workers)
                about = f"{left / 60:.0f} min" if left >= 60 else f"{left:.0f} s"
                print(f"{count}  {outcome.seconds:.0f} s, about {about} left", flush=True)
    shutil.rmtree(signals, ignore_errors=True)
    return [failures[number] for number in sorted(failures)]


def _outcomes(jobs: dict[int, Job], signals, workers: int, stop: StopRequest) -> Iterator[_Outcome]:
    """The outcome of each job as it ends; of some only where a process died."""
    ended = set()
    try:
        for outcome in _in_parallel(jobs, signals, workers, stop):
            ended.add(outcome.number)
            yield outcome
        return
    except BrokenProcessPool:
        if stop.requested:
            return
    # Which process died is not known: every job that had begun runs once more, alone.
    begun = {n: job for n, job in jobs.items() if n not in ended and (signals / str(n)).exists()}
    if not begun:
        raise TrainingError("worker processes die before their first job; is there enough memory for them?")
    for number, job in begun.items():
        if not stop.requested:
            print(f"{job.name}  a process died; the job runs once more, alone", file=sys.stderr, flush=True)
            try:
                yield from _in_parallel({number: job}, signals, 1, stop)
            except BrokenProcessPool:
                yield _Outcome(number, 0.0, DIED)


def _in_parallel(jobs: dict[int, Job], signals, workers: int, stop: StopRequest) -> Iterator[_Outcome]:
    def handed_out():
        for number, job in jobs.items():
            if stop.requested:
                return
            yield joblib.delayed(_do)(job, number, signals, [each.registered() for each in REGISTRIES])

    here = isinstance(
        joblib.parallel.get_active_backend()[0], joblib.parallel.LokyBackend
    )  # not on a cluster
    # joblib runs a single worker inside this process, so there are at least two, of which one stays idle.
    parallel = joblib.Parallel(
        n_jobs=max(workers, 2),
        **({"backend": "loky", "initializer": _begin, "initargs": (os.getpid(),)} if here else {}),
        return_as="generator_unordered",
        pre_dispatch=1 if here and workers == 1 else "n_jobs",
        batch_size=1,
    )
    for outcome in parallel(handed_out()):
        if not outcome.stopped:
            yield outcome


def seconds_left(unfinished: Sequence[str], finished: dict[str, list[float]], workers: int) -> float:
    """About how many seconds the jobs of the groups `unfinished` take.

    `finished`: group -> seconds of each of its jobs. A job takes the median time of its group, or of the slowest
    group where its own has no finished job.
    """
    usual = {group: statistics.median(seconds) for group, seconds in finished.items()}
    slowest = max(usual.values(), default=0.0)
    return sum(usual.get(group, slowest) for group in unfinished) / workers


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


def _do(job: Job, number: int, signals: pathlib.Path, registered: list) -> _Outcome:
    """Runs a job in this worker process; every line that it prints begins with its name."""
    flags = dict.fromkeys([*os.environ.get("XLA_FLAGS", "").split(), ONE_THREAD["XLA_FLAGS"]])
    os.environ.update(ONE_THREAD | {"XLA_FLAGS": " ".join(flags)})
    for registry, entries in zip(REGISTRIES, registered, strict=True):
        registry.restore(entries)
    (signals / str(number)).touch()
    begin, stop = time.monotonic(), StopRequest()
    try:
        with threadpool_limits(1), any_output(), _lines_of(job.name), _listening(stop, signals / STOP):
            job.work(*job.arguments, stop)
    except Stopped:
        return _Outcome(number, 0.0, stopped=True)
    except (ConfigError, DataFileError, TrainingError, StorageError) as mistake:
        return _Outcome(number, 0.0, " ".join(str(mistake).split()))
    return _Outcome(number, time.monotonic() - begin)


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


@contextlib.contextmanager
def _lines_of(name: str):
    """Inside, every printed line begins with `name`, so that lines of several workers can be told apart."""
    out, err = (_Lines(name, stream) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class _Lines(io.TextIOBase):
    """A stream that passes on whole lines, each behind a name."""

    def __init__(self, name: str, stream):
        self._name, self._stream, self._rest = name, stream, ""

    def write(self, text: str) -> int:
        """Keeps the last line until it is whole. Lines that begin with the last part of the name lose it."""
        *lines, self._rest = (self._rest + text).split("\n")
        bare = (line.strip().removeprefix(self._name.rpartition("  ")[2]).strip() for line in lines)
        self._stream.write("".join(f"{self._name}  {line}\n" for line in bare if line))
        self._stream.flush()
        return len(text)

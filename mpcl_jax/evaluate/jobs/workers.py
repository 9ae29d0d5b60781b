"""Pieces of a table on all cores: one process a core, one thread each, each piece in whichever is free.

Two single-threaded processes do 1.6 times what one process on two threads does: kernels of this size leave a second
thread idle. A piece is a function call whose result is files, so nothing is sent back, and what a killed table had
finished is simply there. Every worker is a `ProcessPoolExecutor` of its own with a single process: when one dies, it
is known which piece it was at, and the others go on.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.errors import AT_ONCE, Stopped, StorageError, TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.types import DataFileError

# Read when JAX looks for devices, which is after a worker has begun: one thread for kernels, one for matrix products.
ONE_THREAD = {
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
ATTEMPTS = 2  # a piece whose worker died is tried once more
LOOK = 0.2  # seconds between two looks at whether somebody asked to stop


class Job(NamedTuple):
    """A part of a table that needs no other part."""

    name: str  # begins every line that it prints: "MPCL seed 2 fold 3 of 10"
    group: str  # pieces of one group share a compiled program; a worker stays with its group
    work: Callable[..., None]  # a function of a module: work(*arguments, stop), results go into files
    arguments: tuple[Any, ...]


class Failure(NamedTuple):
    """A piece that has no result."""

    name: str
    reason: str


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(jobs: Sequence[Job], workers: int, stop: StopRequest) -> list[Failure]:
    """Does all `pieces` in `workers` processes and returns those that failed, in their order.

    A piece fails that raises ConfigError, DataFileError, TrainingError or StorageError, or whose worker dies twice;
    the others are done all the same. Any other exception ends everything and is raised here. When `stop` is asked,
    workers stop behind their running epoch, with everything saved, and Stopped is raised.
    """
    workers_ = [_Worker() for _ in range(min(workers, len(jobs)))]
    queue = _Queue(jobs, max(len(workers_), 1))
    with stop.deferred(), ThreadPoolExecutor(max(len(workers_), 1)) as threads:
        serving = [threads.submit(_serve, worker, queue) for worker in workers_]
        try:
            while not wait(serving, timeout=LOOK, return_when=FIRST_EXCEPTION).done >= set(serving):
                if stop.requested or any(future.done() and future.exception() for future in serving):
                    break
        finally:
            queue.closed = True
            for worker in workers_:
                worker.ask_to_stop()
    for future in serving:
        future.result()
    order = [job.name for job in jobs]
    return sorted(queue.failures, key=lambda failure: order.index(failure.name))


class _Queue:
    """What is still to be done, handed out to several threads."""

    def __init__(self, jobs: Sequence[Job], workers: int = 1):
        self._waiting = [(job, 1) for job in jobs]
        self._running: list[tuple[Job, float]] = []  # each with the time at which it began
        self._finished: dict[str, list[float]] = {}  # group -> seconds of each finished piece
        self._lock = threading.Lock()
        self._all, self._done, self._workers = len(jobs), 0, workers
        self.failures: list[Failure] = []
        self.closed = False  # nothing more is handed out

    def take(self, last: str) -> tuple[Job, int] | None:
        """The next piece and its attempt for a worker that was at the group `last`; None if there is none.

        Its own group, else one that nobody is at, so that no program is compiled twice at a time.
        """
        with self._lock:
            if self.closed or not self._waiting:
                return None

            served = {job.group for job, _ in self._running}

            def cost(entry):
                group = entry[0].group
                return 0 if group == last else 2 if group in served else 1

            taken = min(self._waiting, key=cost)
            self._waiting.remove(taken)
            self._running.append((taken[0], time.monotonic()))
            return taken

    def end(self, job: Job, attempt: int, seconds: float, problem: str = "", again: bool = False) -> None:
        """Tells of a piece that ended, well or with a `problem`; `again`: one that is worth another attempt."""
        with self._lock:
            self._running.remove(next(entry for entry in self._running if entry[0] is job))
            if problem and again and attempt < ATTEMPTS:
                self._waiting.append((job, attempt + 1))
                print(f"{job.name}  {problem}; it is tried once more", file=sys.stderr, flush=True)
                return
            self._done += 1
            count = f"[{self._done}/{self._all}]"
            if problem:
                self.failures.append(Failure(job.name, problem))
                print(f"{count} {job.name}  FAILED: {problem}", file=sys.stderr, flush=True)
                return
            self._finished.setdefault(job.group, []).append(seconds)
            now = time.monotonic()
            running = [(other.group, now - begin) for other, begin in self._running]
            left = seconds_left([x.group for x, _ in self._waiting], running, self._finished, self._workers)
            told = f"{left / 60:.0f} min" if left >= 60 else f"{left:.0f} s"
            print(f"{count} {job.name}  {seconds:.0f} s, about {told} left in all", flush=True)


def seconds_left(
    waiting: Sequence[str],
    running: Sequence[tuple[str, float]],
    finished: dict[str, list[float]],
    workers: int,
) -> float:
    """About how many seconds a table still takes.

    `waiting`: the group of each piece · `running`: groups, with the seconds since each began · `finished`: group ->
    seconds of each of its pieces. A piece takes as long as others of its group: a baseline takes no time, a training
    minutes. One of less than a tenth of the longest was found finished and tells nothing. A group of which nothing is
    known yet takes as long as the longest that is.
    """
    known = {}
    for group, seconds in finished.items():
        worked = [x for x in seconds if x >= max(seconds) / 10]
        known[group] = sum(worked) / len(worked)
    for group, since in running:
        known[group] = max(known.get(group, 0.0), since)
    longest = max(known.values(), default=0.0)
    rests = [known[group] - since for group, since in running]
    rests += [known.get(group, longest) for group in waiting]
    return max(sum(rests) / workers, *rests, 0.0)  # the last piece has one worker


class _Worker:
    """One process, started when it is needed and again after it died."""

    def __init__(self):
        self._pool: ProcessPoolExecutor | None = None
        self._pid, self._stopping = 0, False

    def do(self, job: Job) -> None:
        """Raises what the piece raises, and BrokenProcessPool if its process died."""
        if self._pool is None:
            # Not forked: JAX has threads, which a fork would cut off.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
            self._pid = self._pool.submit(os.getpid).result()
        if self._stopping:
            raise Stopped
        self._pool.submit(_do, job).result()

    def end(self) -> None:
        """Lets the process go."""
        if self._pool is not None:
            pool, self._pool, self._pid = self._pool, None, 0
            pool.shutdown(cancel_futures=True)

    def ask_to_stop(self) -> None:
        """Like SIGTERM of a run: a training ends behind its epoch, anything else at once."""
        self._stopping = True  # before the look at the process, which may just be starting
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)


def _serve(worker: _Worker, queue: _Queue) -> None:
    """One piece after the other in one worker, until nothing waits. Runs in a thread of its own."""
    last = ""
    try:
        while (taken := queue.take(last)) is not None:
            job, attempt = taken
            begin, problem, died = time.monotonic(), "", False
            try:
                worker.do(job)
            except BrokenProcessPool:
                if queue.closed:
                    return
                problem, died = "its process died (killed? out of memory?)", True
                worker.end()
            except (ConfigError, DataFileError, TrainingError, StorageError) as mistake:
                problem = " ".join(str(mistake).split())
            queue.end(job, attempt, time.monotonic() - begin, problem, again=died)
            last = job.group
    except Stopped:
        return
    finally:
        worker.end()


def _begin() -> None:
    """What a worker is, before it imports anything heavy: one thread, no Ctrl-C, no life without its parent."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD['XLA_FLAGS']}".strip()
    os.environ.update(ONE_THREAD | {"XLA_FLAGS": flags})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and asks
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(AT_ONCE)


@any_output()
def _do(job: Job) -> None:
    """Does a piece in this process; every line that it prints bears its name."""
    stop = StopRequest()
    signal.signal(signal.SIGTERM, stop.ask)
    out, err = (_Lines(job.name, stream) for stream in (sys.stdout, sys.stderr))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            job.work(*job.arguments, stop)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Lines(io.TextIOBase):
    """A stream that passes on whole lines behind a name, so that those of several workers do not mix."""

    def __init__(self, name: str, stream):
        self._name, self._stream, self._rest = name, stream, ""

    def write(self, text: str) -> int:
        """Keeps the last line until it is whole."""
        *lines, self._rest = (self._rest + text).split("\n")
        last = self._name.rpartition("  ")[
            2
        ]  # of "MPCL  seed 2  fold 3 of 10", with which many lines begin themselves
        bare = (line.strip().removeprefix(last).strip() for line in lines)
        named = "".join(f"{self._name}  {line}\n" for line in bare if line)
        if named:
            self._stream.write(named)
            self._stream.flush()
        return len(text)

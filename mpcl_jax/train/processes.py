"""Several processes that train as one: how they start, wait for one another and agree (docs/pods.md).

With one process every function here does nothing or calls its argument. All processes load, train and take part in
checkpoints; only process 0 prints and writes. Every wait has a limit: `config.distributed.timeout` where processes
meet, and inside a computation the heartbeats of JAX, which end the process (SIGABRT, exit code 134) with a message
that names the missing processes.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from mpcl_jax.config.resolve import ConfigError, ProcessError
from mpcl_jax.config.schema import DistributedConfig
from mpcl_jax.system.errors import StorageError, TrainingError
from mpcl_jax.types import DataError

# The exceptions that may end a run, by name: process 0 sends them to the others (`by_first`).
KINDS = {kind.__name__: kind for kind in (ConfigError, DataError, ProcessError, StorageError, TrainingError)}
AGAIN = "start all processes again with the same command: the run continues from its last checkpoint"


def start(settings: DistributedConfig) -> None:
    """Joins the other processes, before JAX looks for devices; does nothing where settings.start is "off".

    Raises ConfigError where there is no cluster and ProcessError where not all processes came.
    """
    if settings.start == "off":
        return
    own_place = {}
    if settings.start == "given":
        own_place = {
            "coordinator_address": settings.coordinator,
            "num_processes": settings.process_count,
            "process_id": settings.process_id,
            "cluster_detection_method": "deactivate",
        }
    # This service would catch SIGTERM and do nothing with it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            **own_place,
            initialization_timeout=settings.timeout,
            heartbeat_timeout_seconds=settings.heartbeat,
            shutdown_timeout_seconds=settings.heartbeat,
        )
    except ValueError as error:
        fix = "set it to 'given' with coordinator, process_count and process_id"
        what = "config.distributed.start = 'auto': this is no cluster that JAX knows"
        raise ConfigError(f"{what}; {fix} ({error})") from error
    except jax.errors.JaxRuntimeError as error:
        reason = _reason(error, settings)
        raise ProcessError(f"processes did not find each other: {reason}; {AGAIN}") from error
    if jax.process_index():
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # only process 0 prints; errors go to stderr


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def meet(where: str, settings: DistributedConfig) -> None:
    """Waits until every process is at `where`, a name used once. Raises ProcessError naming those that are not."""
    if jax.process_count() == 1:
        return
    from orbax.checkpoint import multihost  # takes 0.1 s to import

    try:
        multihost.get_barrier_sync_fn()(key=where, timeout_ms=1000 * settings.timeout)
    except jax.errors.JaxRuntimeError as error:
        raise ProcessError(f"{where}: {_reason(error, settings)}; {AGAIN}") from error


def _reason(error: Exception, settings: DistributedConfig) -> str:
    """The processes that were late, from the words of JAX's coordination service."""
    late = re.search(r"timed out task names:\s*((?:\S*\d+\s)+)", str(error))
    if late:
        names = ", ".join(sorted(set(re.findall(r"(\d+)\s", late[1]))))
        return f"process {names} did not come within {settings.timeout} s"
    return " ".join(str(error).split())[:300]


@contextlib.contextmanager
def together():
    """Raises ProcessError where a computation inside fails because another process is gone."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        if jax.process_count() == 1 or not re.search("[Cc]onnection|[Tt]imed out|unhealthy", str(error)):
            raise
        raise ProcessError(f"another process is gone ({reason}); {AGAIN}") from error


def by_first(make: Callable[[], Any]) -> Any:
    """The result of `make`, as JSON, which only process 0 calls; all processes raise what it raises.

    So all end with the same exit code: the exceptions of `KINDS` are raised as they are, any other, a mistake in the
    program, on the other processes as a RuntimeError with its type and message.
    """
    if jax.process_count() == 1:
        return make()
    answer, raised = {}, None
    if is_first():
        try:
            answer = {"value": make()}
        except Exception as error:  # the others wait for an answer, whatever it is
            name, raised = type(error).__name__, error
            arguments = error.__reduce__()[1] if name in KINDS else [f"process 0: {name}: {error}"]
            answer = {"kind": name, "arguments": list(arguments)}
    text = np.frombuffer(json.dumps(answer).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    sent = multihost_utils.broadcast_one_to_all(np.resize(text, length))
    answer = json.loads(bytes(np.asarray(sent)))
    if raised is not None:
        raise raised
    if "kind" in answer:
        raise KINDS.get(answer["kind"], RuntimeError)(*answer["arguments"])
    return answer["value"]


def require_same(what: str, text: str) -> None:
    """Raises ProcessError naming the processes whose `text` is not that of process 0."""
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    digests = np.asarray(multihost_utils.process_allgather(digest))
    others = [str(i) for i, x in enumerate(digests) if (x != digests[0]).any()]
    if others:
        found = f"process {', '.join(others)} has other {what} than process 0"
        raise ProcessError(f"{found}; all need the same command and files")


def any_process(yes: bool) -> bool:
    """Whether `yes` holds on any process. All processes must call it."""
    if jax.process_count() == 1:
        return yes
    return bool(np.any(multihost_utils.process_allgather(np.bool_(yes))))


def finish() -> None:
    """Leaves the other processes, which may end; this one can go on alone."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()

"""Requests to stop, by signals; and one run per folder."""

import os
import signal
import subprocess
import sys
import time

import pytest
from python_process import environment

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.errors import AT_ONCE, Stopped
from mpcl_jax.train.interrupt import StopRequest, listening, only_run_in


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_request_a_stop_that_waits_for_the_end_of_the_block(number):
    before, done = signal.getsignal(number), []
    with pytest.raises(Stopped), listening() as request, request.deferred():
        os.kill(os.getpid(), number)
        while not request.requested:
            time.sleep(0.01)
        done.append("saved")
    assert signal.getsignal(number) is before and done == ["saved"]


def test_a_request_ends_the_program_at_once_outside_of_training_and_hides_no_error():
    with pytest.raises(Stopped):
        StopRequest().request(signal.SIGTERM, None)
    request = StopRequest()
    with pytest.raises(ValueError), request.deferred():
        request.request(signal.SIGTERM, None)
        raise ValueError


def child(code: str, *words: str) -> subprocess.Popen:
    """A process that runs `code`, after its first line."""
    command = [sys.executable, "-c", code, *words]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, env=environment(), text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


BUSY = """
import hashlib, sys
from mpcl_jax.train.interrupt import listening
with listening() as request, request.deferred():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes outside of Python, as an epoch may be
"""


def test_a_second_ctrl_c_ends_the_process_even_inside_a_long_computation():
    with child(BUSY) as process:
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == AT_ONCE


HOLD = """
import pathlib, sys, time
from mpcl_jax.train.interrupt import only_run_in
with only_run_in(pathlib.Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_folder_holds_one_run_and_a_dead_one_frees_it(tmp_path):
    with child(HOLD, str(tmp_path)) as holder:
        with pytest.raises(ConfigError) as caught, only_run_in(tmp_path):
            pass
        assert f"another run works in it (process {holder.pid} on " in str(caught.value)
        holder.kill()
        holder.wait()
    assert (tmp_path / ".running").exists()
    with pytest.raises(ValueError), only_run_in(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / ".running").read_text()
        raise ValueError  # an error frees it, too
    assert not (tmp_path / ".running").exists()

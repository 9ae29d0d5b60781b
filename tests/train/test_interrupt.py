"""Requests to stop, by signals; and one run per folder."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.errors import AT_ONCE, Stopped
from mpcl_jax.train.interrupt import StopRequest, listening, only_run_in

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_outside_of_training_a_request_ends_the_program_at_once():
    with pytest.raises(Stopped):
        StopRequest().request(signal.SIGTERM, None)


def test_inside_a_request_waits_until_the_end():
    request, done = StopRequest(), []
    with pytest.raises(Stopped), request.deferred():
        request.request(signal.SIGTERM, None)
        assert request.requested
        done.append("saved")
    assert done == ["saved"]


def test_an_error_is_not_hidden_by_a_request():
    request = StopRequest()
    with pytest.raises(ValueError), request.deferred():
        request.request(signal.SIGTERM, None)
        raise ValueError


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_request_a_stop_inside_the_block(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped), listening() as request, request.deferred():
        os.kill(os.getpid(), number)
        while not request.requested:
            time.sleep(0.01)
    assert signal.getsignal(number) is before


BUSY = """
import hashlib, sys
from mpcl_jax.train.interrupt import listening
with listening() as request, request.deferred():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes outside of Python, as an epoch may be
"""


def busy():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_second_ctrl_c_ends_the_process_even_inside_a_long_computation():
    with busy() as process:
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == AT_ONCE


HOLD = """
import pathlib, sys, time
from mpcl_jax.train.interrupt import only_run_in
with only_run_in(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_holds_one_run_and_a_dead_one_frees_it(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError) as caught, only_run_in(tmp_path):
            pass
        assert f"another run works in it (process {holder.pid} on " in str(caught.value)
        holder.kill()
        holder.wait()
    assert (tmp_path / ".running").exists()
    with only_run_in(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / ".running").read_text()
    assert not (tmp_path / ".running").exists()


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ValueError), only_run_in(tmp_path):
        raise ValueError
    with only_run_in(tmp_path):
        pass

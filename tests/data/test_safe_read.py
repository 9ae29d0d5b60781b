"""The guard: whatever a file does to the child, the parent gets data or one DataError."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import guarded_functions
import numpy as np
import pytest

from mpcl_jax.data.io import safe_read
from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.data.io.message import read_message, write_message
from mpcl_jax.data.io.safe_read import Limits, read_json, read_npz, read_text, run_guarded
from mpcl_jax.types import DataError

read_mat = functools.partial(run_guarded, parse_mat)


def refusal(function, *args, **settings) -> DataError:
    with pytest.raises(DataError) as caught:
        function(*args, **settings)
    return caught.value


def test_arguments_and_results_keep_their_values(tmp_path):
    things = [None, True, 1, -(2**70), 1.5, float("inf"), "é\udc80\n", [[]], {"a": 1, "b": {"c": None}}]
    things += [np.arange(6, dtype="i2").reshape(2, 3), np.asfortranarray(np.ones((2, 3))), np.zeros((0, 3))]
    things += [np.array(["a", "bc"]), np.array(True), {"x": [np.ones(2)]}]
    ours = run_guarded(guarded_functions.echo, tmp_path, *things)
    np.testing.assert_equal(ours, [str(tmp_path), *things])
    assert ours[10].dtype == np.int16
    assert run_guarded(guarded_functions.echo, tmp_path, (1, (2,)))[1] == [1, [2]]


@pytest.mark.parametrize("thing", [object(), {1, 2}, b"x", np.array([None]), np.datetime64(0, "s"), len])
def test_other_things_do_not_travel(tmp_path, thing):
    with pytest.raises(TypeError, match="guarded process"):
        run_guarded(guarded_functions.echo, tmp_path, thing)


def test_a_forged_answer_runs_nothing(tmp_path):
    error = refusal(run_guarded, guarded_functions.forge, tmp_path)
    assert error.file == str(tmp_path) and "no usable answer" in error.reason
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("text", ["{", '{"__array__": 7}', '{"__array__": [0]}', "[" * 10**5, "9" * 5000])
def test_forged_messages_are_refused(tmp_path, text):
    path = tmp_path / "x.npz"
    np.savez(path, message=np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8), a0=np.ones(2))
    assert "message of plain data" in str(refusal(read_message, path, 10**6))
    write_message(path, np.zeros(1000))
    assert "more than the 7,999 allowed" in str(refusal(read_message, path, 7_999))


SMALL = Limits(memory_bytes=2**29)
SOON = Limits(seconds=1.0)


@pytest.mark.parametrize(
    ("function", "args", "limits", "words"),
    [
        (guarded_functions.fail, (), SOON, "KeyError: 'chest' (guarded_functions.py, line"),
        (guarded_functions.sleep, (60,), SOON, "could not be read within 1 s"),
        (guarded_functions.allocate, (2**30,), SMALL, "needs more than 536,870,912 bytes of memory"),
        (guarded_functions.crash, (int(signal.SIGSEGV),), SMALL, "crashed (SIGSEGV)"),
        (guarded_functions.crash, (int(signal.SIGKILL),), SMALL, "ran out of memory"),
        (guarded_functions.vanish, (), SMALL, "no usable answer"),
        (guarded_functions.fill_the_disk, (2**29,), SMALL, "File too large"),
    ],
)
def test_every_end_of_the_child_is_one_line(tmp_path, monkeypatch, function, args, limits, words):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(safe_read.tempfile, "tempdir", str(temporary))
    begin = time.monotonic()
    error = refusal(run_guarded, function, tmp_path, *args, limits=limits)
    assert error.file == str(tmp_path) and words in error.reason
    assert "\n" not in str(error) and "Traceback" not in str(error) and time.monotonic() - begin < 10
    assert list(temporary.iterdir()) == []
    assert all(file.stat().st_size <= 2**29 for file in tmp_path.iterdir())


def test_errors_of_the_reader_come_back_as_themselves_and_those_of_the_package_as_such(tmp_path):
    error = refusal(run_guarded, guarded_functions.refuse, tmp_path)
    assert (error.file, error.reason) == (str(tmp_path / "inner.csv"), "line 3: no number")
    with pytest.raises(RuntimeError, match="a object cannot enter or leave"):
        run_guarded(guarded_functions.no_data, tmp_path)
    with pytest.raises(RuntimeError, match="guarded reader failed while reading"):
        run_guarded(guarded_functions.give_up, tmp_path)


def test_time_limit_of_the_processor_outlives_the_parent(tmp_path, monkeypatch):
    """Without the parent's clock, the child still ends."""
    run = subprocess.run
    monkeypatch.setattr(safe_read.subprocess, "run", lambda *a, timeout, **k: run(*a, timeout=60, **k))
    error = refusal(run_guarded, guarded_functions.compute, tmp_path, limits=SOON)
    assert error.reason == "could not be read within 1 s of processor time"


def test_no_folder_for_temporary_files_is_one_line(tmp_path, monkeypatch):
    def nowhere():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(safe_read.tempfile, "gettempdir", nowhere)
    error = refusal(run_guarded, guarded_functions.allocate, tmp_path, 1)
    assert error.file == str(tmp_path) and "set TMPDIR" in error.reason


def test_a_search_path_may_hold_the_current_folder_though_it_is_deleted(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend("relative")
    (tmp_path / "gone").rmdir()
    assert run_guarded(guarded_functions.allocate, tmp_path, 2**10) == 2**10


def test_the_child_is_another_process_without_jax_a_keyboard_or_core_dumps(tmp_path):
    ours, (read, write) = os.dup(0), os.pipe()
    try:
        os.write(write, b"typed")
        os.close(write)
        os.dup2(read, 0)
        state = run_guarded(guarded_functions.environment, tmp_path)
    finally:
        os.dup2(ours, 0)
        os.close(ours)
        os.close(read)
    assert state.pop("pid") != os.getpid()
    loaded = set(state.pop("modules"))
    assert state == {"threads": "1", "stdin": "", "core": 0}
    assert {"numpy", "guarded_functions"} <= loaded and not {"jax", "flax", "pytest", "scipy"} & loaded


def test_modules_in_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    """A data folder may hold a `numpy.py`."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the data folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [x for x in sys.path if x not in ("", ".")])
    assert run_guarded(guarded_functions.echo, tmp_path) == [str(tmp_path)]


@pytest.mark.parametrize("read", [read_mat, read_npz, read_text, read_json])
def test_files_that_are_none(tmp_path, read):
    assert "No such file" in refusal(read, tmp_path / "none").reason
    assert refusal(read, tmp_path).file == str(tmp_path)
    assert "null" in refusal(read, "a\0b").reason
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in refusal(read, tmp_path / "pipe").reason
    assert "neither a file nor a folder" in refusal(read, "/dev/zero").reason


@pytest.mark.parametrize("read", [read_mat, read_npz])
def test_files_above_the_limit_are_not_opened(tmp_path, read):
    (tmp_path / "x").write_bytes(bytes(1001))
    error = refusal(read, tmp_path / "x", limits=Limits(file_bytes=1000))
    assert error.reason == "has 1,001 bytes, more than the 1,000 allowed"
    np.savez(tmp_path / "x.npz", a=np.eye(3))
    np.testing.assert_array_equal(read_npz(tmp_path / "x.npz")["a"], np.eye(3))
    claim = refusal(read_npz, tmp_path / "x.npz", limits=Limits(memory_bytes=100)).reason
    assert claim == "claims 200 bytes, more than the 100 allowed"  # 9 doubles and NumPy's header of 128


def test_read_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbfa,\xc3\xa9\r\nb\n")
    assert read_text(path) == "a,é\r\nb\n"
    path.write_bytes(b"\xe9")
    assert "byte 0" in refusal(read_text, path).reason
    assert read_text(path, encoding="latin1") == "é"
    path.write_bytes(b"12345")
    assert read_text(path, max_bytes=5) == "12345"
    assert "5 bytes, more than the 4" in refusal(read_text, path, max_bytes=4).reason


def test_read_json(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": [1, 2.5, None]}))
    assert read_json(path) == {"a": [1, 2.5, None]}
    path.write_text('{\n "a": }')
    assert "line 2, column 7" in refusal(read_json, path).reason

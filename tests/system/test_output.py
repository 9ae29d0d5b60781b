"""Commands print into every kind of stdout and stderr: closed, of a notebook, a pipe without a reader."""

import io
import os
import subprocess
import sys
import types

import pytest

from mpcl_jax.cli import audit, check, explain, inspect, predict, report, reproduce, verify
from mpcl_jax.system.output import any_output
from mpcl_jax.train.progress import FoldProgress


def plain():
    """A stream that can do nothing but take text."""
    return types.SimpleNamespace(write=lambda text: None, flush=lambda: None)


COMMANDS = {
    explain: ["--sample=a@0"],
    predict: ["data"],
    **dict.fromkeys((audit, check, inspect, report, reproduce, verify), []),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda module: module.__name__)
def test_commands_take_any_stream(tmp_path, monkeypatch, command):
    monkeypatch.setattr(sys, "argv", ["command", str(tmp_path / "nothing"), *COMMANDS[command]])
    for stream in (plain(), io.StringIO(), None):
        monkeypatch.setattr(sys, "stdout", stream)
        assert command.run() in (1, 2)
        assert sys.stdout is stream


@pytest.fixture
def pipe():
    """(descriptor to read, text stream that writes ASCII), as Python makes one of a pipe."""
    read, write = os.pipe()
    with open(write, "w", encoding="ascii") as stream:
        yield read, stream


def test_characters_that_the_encoding_lacks_are_replaced(monkeypatch, pipe):
    read, stream = pipe
    monkeypatch.setattr(sys, "stdout", stream)
    with any_output():
        print("a → b", "\udce9")
    assert os.read(read, 99) == b"a ? b ?\n"
    os.close(read)


def test_a_command_goes_on_after_the_end_of_its_reader(monkeypatch, pipe):
    read, stream = pipe
    monkeypatch.setattr(sys, "stdout", stream)
    os.close(read)
    with any_output():
        for _ in range(3):
            print("x" * 9999, flush=True)
        FoldProgress("fold 1 of 2", 4, 0, 8).update(4, {"loss": 1.0})
        # What shares the descriptor can write as well.
        ended = subprocess.run(["echo", "y"], stdout=stream.fileno(), check=False)
    stream.write("after")
    stream.flush()
    assert ended.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_lost_output_on_a_full_disk_is_one_warning(monkeypatch, capsys):
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with any_output():
            for _ in range(3):
                print("x", flush=True)
    printed = capsys.readouterr().err
    assert printed == "warning: output cannot be written (No space left on device); the rest of it is lost\n"


CLOSED = """
import sys
from mpcl_jax.system.output import any_output
with any_output():
    with open(sys.argv[1], "w") as file:
        assert file.fileno() > 2
        print("→", flush=True)
        print("→", file=sys.stderr, flush=True)
"""


def test_closed_descriptors_are_not_given_to_files(tmp_path):
    command = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", sys.executable, "-c", CLOSED, tmp_path / "file"]
    assert subprocess.run(command, check=False).returncode == 0
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("name, value", [("TERM", "dumb"), ("COLUMNS", "0")])
def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch, capsys, name, value):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv(name, value)
    ticker = FoldProgress("fold 1 of 2", 4, 0, 8)
    ticker.update(4, {"loss": 1.0})
    ticker.close()
    assert "fold 1 of 2  epoch 4/4  loss 1.0000" in capsys.readouterr().out

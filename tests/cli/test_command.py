"""The command `mpcl`: its subcommands, their help, mistakes in one line, presets, and a start without JAX."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from python_process import ROOT, python

from mpcl_jax.cli.__main__ import COMMANDS, MODULES, run
from mpcl_jax.cli.command import command, to_json
from mpcl_jax.config.config_file import presets
from mpcl_jax.config.describe import settings
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.system.errors import AT_ONCE, DISK, NOT_FINITE, StorageError, TrainingError
from mpcl_jax.types import DataError, DataSpec


def test_help_lists_every_command_and_needs_none_of_the_large_libraries():
    heavy = "jax", "flax", "numpy", "pandas", "pydantic", "matplotlib", "ml_collections"
    code = f"import sys; from mpcl_jax.__main__ import run; run(['-h']); assert not {set(heavy)} & set(sys.modules)"
    ended = python("-c", code)
    assert ended.stderr == ""
    listed = [line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    modules = {path.stem for path in (ROOT / "mpcl_jax" / "cli").glob("*.py")}
    assert modules - {"__init__", "__main__", "command"} == {MODULES.get(name, name) for name in COMMANDS}


def test_help_does_not_need_docstrings():
    for module in ("mpcl_jax", "mpcl_jax.main"):
        ended = python("-OO", "-m", module, "--help")
        assert "--help" in ended.stdout and "None" not in ended.stdout.splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_refuses_unknown_options_in_one_line(name, capsys):
    with pytest.raises(SystemExit) as ended:
        run([name, "--help"])
    assert ended.value.code == 0 and f"mpcl {name}" in capsys.readouterr().out
    assert run([name, *(["--config", "smoke"] if name == "train" else []), "--nonsense"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_the_help_of_train_has_every_setting_with_meaning_default_and_range(capsys):
    with pytest.raises(SystemExit):
        run(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for setting in settings():
        value = f"default {setting.default!r}; {setting.allowed}"
        assert f"--config.{setting.name} {setting.meaning} {value}" in text, setting.name


def test_a_dry_run_describes_the_run_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "--config", "smoke", "--dry-run", "--config.model.width=8"]) == 0
    words = capsys.readouterr().out
    parts = ("data   simulated: 72 windows", "split  subject_kfold", "12 epochs of 3 steps", "nothing was")
    assert all(part in words for part in (*parts, "parameters, width 8", "MB without activations"))
    assert run(["train", "--config", "smoke", "--dry-run", "--config.benchmark.baselines=('rigde',)"]) == 2
    assert "'rigde'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_is_one_line(capsys):
    assert run(["tran"]) == 2
    assert capsys.readouterr().err == "error: unknown command 'tran'; did you mean train?\n"
    assert run(["zzz"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'zzz'; known are train, report")
    assert run(["predict", "run", "data", "--flod", "2", "--confg=x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    meant = {"flod": "fold", "confg": "config"}
    assert lines == [f"error: --{x}: unknown option; did you mean --{meant[x]}?" for x in meant]
    assert run(["train", "--config", "smoke", "--config.train.epochs=0", "--config.seed=-1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("error: config.") for line in lines)


@pytest.mark.parametrize(
    "error, code",
    [
        (ConfigError("a\nb"), 2),
        (DataError("file", "a"), 2),
        (TrainingError("a"), NOT_FINITE),
        (StorageError("a"), DISK),
        (KeyboardInterrupt(), AT_ONCE),
    ],
)
def test_every_way_to_end_has_an_exit_status_and_no_traceback(error, code, capsys):
    def body(_):
        raise error

    assert command(body)([]) == code
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == (2 if "\n" in str(error) else 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("prints_log, code", [(False, DISK), (True, 0)])
def test_output_that_is_lost_ends_with_the_status_of_a_full_disk(monkeypatch, capsys, prints_log, code):
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert command(lambda _: print("id,subject"), prints_log=prints_log)([]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_info_names_versions_devices_and_the_cache(capsys):
    assert run(["info"]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"mpcl_jax", "python", "jax", "devices", "cache"} <= facts.keys()
    assert run(["--version"]) == 0 and capsys.readouterr().out.strip() == facts["mpcl_jax"]


def test_json_of_a_command_has_null_for_what_is_not_defined():
    spec = DataSpec((), (), {}, {"x": (1, 2)})
    held = json.loads(to_json({"a": (np.float32(1.5), math.nan), "b": np.array([[1, 2]]), "c": spec}))
    empty = {"emotions": [], "valence": [], "groups": {}, "shapes": {"x": [1, 2]}}
    assert held == {"a": [1.5, None], "b": [[1, 2]], "c": empty}


def test_presets_are_the_files_of_configs():
    assert presets() == sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


@pytest.mark.long
def test_a_wheel_alone_has_the_command_and_the_presets(tmp_path):
    def pip(*words):
        command = [sys.executable, "-m", "pip", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=600)

    pip("wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path / "wheel", ROOT)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    pip("install", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel)
    assert (tmp_path / "site" / "mpcl_jax" / "py.typed").exists()
    (tmp_path / "empty").mkdir()
    ended = subprocess.run(
        [tmp_path / "site" / "bin" / "mpcl", "train", "--config", "smoke", "--config.train.epochs=1"],
        cwd=tmp_path / "empty",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "mpcl train --config smoke" in (tmp_path / "empty" / "runs" / "smoke" / "table.md").read_text()

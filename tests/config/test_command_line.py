"""Command line: overrides, config files with mistakes, and the real command, which refuses them without JAX."""

import json
import os
import pathlib
import sys
import types

import pytest
from python_process import ROOT, python

from mpcl_jax.cli.train import claim_workdir
from mpcl_jax.config.command_line import from_command_line, read_overrides
from mpcl_jax.config.config_file import read_config_file
from mpcl_jax.config.resolve import ConfigError

DATASET = str(ROOT / "configs" / "dataset.py")


def refusal(arguments: list[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        from_command_line(DATASET, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


GROUPS = "seed, data, protocol, model, loss, train, benchmark, distributed, log"


@pytest.mark.parametrize(
    "argument, hint",
    [
        ("--config.train.epochs.x=1", "did you mean config.train.epochs?"),
        ("--config.epochs=3", "did you mean config.train.epochs?"),  # of another group
        ("--config.model.heads=3", "did you mean config.model.fusion.heads or config.model.head?"),
        ("--config.lr=1", f"known here: {GROUPS}"),
        ("--config.train.lr=1", "known here: epochs, batch_size"),
        ("--epochs=3", "--epochs: unknown option; did you mean --config.train.epochs?"),
        ("--workdr=x", "--workdr: unknown option; did you mean --workdir?"),
        ("stray", "'stray' is not an option"),
        ("--config.model={}", "config.model: a group of settings (width, tokens, dropout"),
        ("--config.train.epochs", "config.train.epochs: needs a value"),
    ],
)
def test_unknown_options_are_refused_with_a_hint(argument, hint):
    assert hint in refusal([argument])


@pytest.mark.parametrize(
    "argument, key, value",
    [
        ("--config.train.epochs=3", "train.epochs", 3),
        ("--config.log.tensorboard", "log.tensorboard", True),
        ("--config.model.memory.paired=False", "model.memory.paired", False),
        ("--config.protocol.only=()", "protocol.only", ()),
        ("--config.protocol.only=0,2", "protocol.only", (0, 2)),
        ("--config.data.modalities=eeg,gsr", "data.modalities", ("eeg", "gsr")),
        ("--config.data.modalities=[eeg,gsr]", "data.modalities", ("eeg", "gsr")),
        ("--config.data.modalities=( 'eeg', gsr )", "data.modalities", ("eeg", "gsr")),
        ("--config.data.modalities=", "data.modalities", ()),
        ("--config.data.path=a=b", "data.path", "a=b"),
    ],
)
def test_values_are_read_by_the_type_of_their_setting(argument, key, value):
    assert read_overrides([argument]) == ({key: value}, [])


def test_a_value_may_follow_and_the_last_of_two_wins():
    arguments = ["--config.train.epochs", "3", "--config.seed=1", "--config.train.epochs=4"]
    config = from_command_line(DATASET, arguments)
    assert (config.train.epochs, config.seed) == (4, 1)
    assert "needs a value" in refusal(["--config.train.epochs", "--config.seed=1"])


def test_mistakes_of_options_of_the_file_and_of_values_are_listed_together(tmp_path):
    (tmp_path / "mine.py").write_text("def get_config():\n    return {'seed': -1}\n")
    arguments = ["--confg", "x", "--config.train.epoch=3", "--config.model.width=0"]
    for file, words in (("mine.py", "mine.py: config.seed = -1"), ("gone.py", "no such file")):
        with pytest.raises(ConfigError) as caught:
            from_command_line(str(tmp_path / file), arguments)
        lines = str(caught.value).splitlines()
        parts = "--confg: unknown option", "config.train.epoch: unknown", words, "config.model.width = 0"
        assert len(lines) == 4 and all(part in line for part, line in zip(parts, lines, strict=True))


TEXT_FOR_A_NUMBER = """from mpcl_jax.config import default
def get_config():
    c = default()
    c.train.epochs = 'ten'
    return c
"""


@pytest.mark.parametrize(
    "text, words",
    [
        ("import nothing_like_this\n", "mine.py, line 1: ModuleNotFoundError"),
        ("def get_config(:\n", "mine.py, line 1: SyntaxError"),
        ("def get_config():\n    return missing\n", "mine.py, line 2: NameError"),
        (TEXT_FOR_A_NUMBER, "mine.py: config.train.epochs = 'ten': must be a whole number in [1, 1000000]"),
        (
            "def get_config():\n    raise SystemExit('no')\n",
            "mine.py, line 2: ends the program (SystemExit);",
        ),
        ("import sys\nsys.exit()\n", "mine.py, line 2: ends the program (SystemExit);"),
        ("x = 1\n", "has no function get_config()"),
        ("def get_config():\n    return {'model': 3}\n", "config.model = 3"),
        ("def get_config():\n    return {'trian': {'epochs': 3}}\n", "did you mean config.train?"),
    ],
)
def test_mistakes_in_a_config_file_name_file_and_line(tmp_path, text, words):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        from_command_line(str(file), ["--config.model.width=32"])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, words",
    [
        ("tests/golden/smoke.json", "must be a Python file"),
        ("nope.py", "no such file or preset"),
        (".", "no such file or preset"),
        ("configs/datset.py", "did you mean .*dataset.py"),
    ],
)
def test_files_that_are_not_configs_are_refused(name, words):
    with pytest.raises(ConfigError, match=words):
        read_config_file(str(ROOT / name))


MISTAKES = [
    (["--config", DATASET, "--config.train.learning_rat=1"], "did you mean config.train.learning_rate?"),
    (["--config", DATASET, "--config.train.learning_rate", "-1.0"], "learning_rate = -1.0: must"),
    (["--config.train.epochs=3"], "--config is missing"),
    (["--confg", "smoke"], "--confg: unknown option; did you mean --config?"),
    (["--config", DATASET, "--workdir"], "workdir"),
    (["--config", DATASET, "--workdir", "gs://bucket/run"], "--workdir gs://bucket/run: is a URL"),
    (["--config", "s3://bucket/mine.py"], "--config s3://bucket/mine.py: is a URL"),
    (["--config", DATASET, "--workdir", os.fsdecode(b"o\xfc")], r"o\udcfc is not UTF-8 text"),
    (["--config", DATASET, os.fsdecode(b"--config.data.modalities=b\xe4")], "is not UTF-8 text"),
]
START_EACH = """
import contextlib, io, json, runpy, sys
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module("mpcl_jax.main", run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def test_a_mistake_is_one_line_and_exit_code_2_before_jax_which_a_valid_command_line_imports(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise SystemExit('JAX was imported')\n")
    starts = [["--help"], *(arguments for arguments, _ in MISTAKES)]
    starts.append(["--config", DATASET, "--workdir", str(tmp_path / "run")])
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    answers = python("-c", START_EACH, json.dumps(starts), PYTHONPATH=path).stdout.splitlines()
    helped, *refused, valid = map(json.loads, answers)
    assert helped[0] == 0 and "--workdir" in helped[1] and "--config.train.epochs" in helped[1]
    for (_, words), (code, out, err) in zip(MISTAKES, refused, strict=True):
        assert (code, out) == (2, ""), err
        assert err.startswith("error: ") and err.count("\n") == 1 and words in err, err
    assert not (ROOT / "gs:").exists()
    assert valid[0] == "JAX was imported"


def test_a_variable_of_jax_that_cannot_be_read_is_one_line(tmp_path):
    words = ["-m", "mpcl_jax.main", "--config", DATASET, "--workdir", tmp_path / "run"]
    ended = python(*words, code=2, JAX_ENABLE_X64="maybe")
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "'JAX_ENABLE_X64'" in ended.stderr and "correct or unset it" in ended.stderr


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for workdir in (tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match="--workdir .*: cannot be written"):
            claim_workdir(workdir)
    with pytest.raises(ConfigError, match="--workdir .*/file: is a file, not a folder; choose another path"):
        claim_workdir(tmp_path / "file")
    claim_workdir(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def project(folder: pathlib.Path, line: str, epochs: int) -> str:
    """A config file in folder/configs that takes the number of epochs from its neighbour base.py by `line`."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "base.py").write_text(f"EPOCHS = {epochs}\n")
    (folder / "shared.py").write_text(f"SEED = {epochs}\n")
    file = folder / "configs" / "mine.py"
    file.write_text(
        f"import shared\nfrom mpcl_jax.config import default\n{line}\n\n\ndef get_config():\n    c = default()\n"
        "    c.train.epochs, c.seed = base.EPOCHS, shared.SEED\n    return c\n"
    )
    return str(file)


@pytest.mark.parametrize("line", ["from configs import base", "import base", "import configs.base as base"])
def test_the_neighbours_of_a_config_are_found_by_file(tmp_path, monkeypatch, line):
    files = [project(tmp_path / str(epochs), line, epochs) for epochs in (3, 4)]
    # The current folder holds a package of the same name, and modules of both names are imported already.
    elsewhere = tmp_path / "elsewhere"
    project(elsewhere, line, 5)
    (elsewhere / "configs" / "__init__.py").write_text("")
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(str(elsewhere))
    for name in ("configs", "base"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    before = list(sys.path), dict(sys.modules), list(sys.meta_path)
    read = [from_command_line(file, []) for file in files]
    assert [(config.train.epochs, config.seed) for config in read] == [(3, 3), (4, 4)]
    assert (list(sys.path), dict(sys.modules), list(sys.meta_path)) == before


def test_a_neighbour_with_the_name_of_a_library_or_the_package_replaces_nothing(tmp_path):
    file = project(tmp_path / "mpcl_jax", "import random, base", 3)
    (tmp_path / "mpcl_jax" / "configs" / "random.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "mpcl_jax" / "configs" / "mpcl_jax.py").write_text("raise SystemExit('imported')\n")
    assert from_command_line(file, []).train.epochs == 3

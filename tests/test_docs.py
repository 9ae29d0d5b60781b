"""README and docs: every Python block runs, every command is parsed by its parser, and what they name exists."""

import argparse
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import re
import runpy
import shlex
import shutil
import sys
import tomllib
import unittest

import pytest
from python_process import ROOT
from run_fixture import SMALL_MODEL
from sybil import Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser

import mpcl_jax
from experiments.shared.notebooks import TUTORIALS
from mpcl_jax.baselines import registry as baselines
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import resolve
from mpcl_jax.config.schema import Config
from mpcl_jax.data import registry as datasets
from mpcl_jax.data.simulate import simulate
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.evaluation.experiment import run_experiment
from mpcl_jax.train.interrupt import StopRequest

README = ROOT / "README.md"
PAGES = [*ROOT.glob("*.md"), *(p for p in sorted((ROOT / "docs").glob("*.md")) if p.name != "settings.md")]
# Programs of others, whose options are not ours to check, and words of the shell.
OUTSIDE = {"cat", "cd", "gcloud", "lint-imports", "pip", "pip-audit", "ruff", "sphinx-build", "uv", "wait"}
GROUPS = "data|protocol|model|loss|train|benchmark|distributed|log"
# `--config.train.epochs`, `config.train.epochs`, `train.epochs=3`; not `data.json`.
SETTING = re.compile(
    rf"(?:--config\.|`(?:config\.)?)((?:{GROUPS})\.(?!json|onnx|py\b|stablehlo)[a-z_.]*[a-z_])\b"
)


class Parsed(BaseException):
    """The arguments of a command are accepted; it goes no further."""


@pytest.fixture
def parsing(monkeypatch):
    """Commands end as soon as their arguments are parsed; those that no parser knows are errors."""
    parse_known_args = argparse.ArgumentParser.parse_known_args

    def parse(parser, args=None, namespace=None):
        extras = parse_known_args(parser, args, namespace)[1]
        if any(not word.startswith("--config.") for word in extras):
            parser.error(f"unknown arguments {extras}")
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse)


@pytest.fixture(scope="module")
def workplace(trained, tmp_path_factory):
    """A folder with `runs/dataset`, a run of one fold, as the documents assume it."""
    folder, run = tmp_path_factory.mktemp("docs"), trained[0]
    shutil.copytree(run.workdir, folder / "runs" / "dataset")
    config = dataclasses.replace(run.config, log=dataclasses.replace(run.config.log, report=False))
    run_experiment(config, folder / "runs" / "dataset", "a command", StopRequest())
    return folder


def commands_in(block: str) -> list[list[str]]:
    """The simple commands of a bash block, as lists of words, without variables, loops and comments."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.shlex(re.sub(r"\$\w+", "1", line), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word in ("do", "done", "&&", ";", "&", "|"):
                found += [command] * (bool(command) and command[0] != "for")
                command = []
            elif command or not re.fullmatch(r"\w+=.*", word):
                command.append(word)
    return found


def check_command(words: list[str]) -> None:
    """Raises where a command line of the documents would be refused for its words."""
    if words[0] in OUTSIDE or words[0].startswith(".ci/"):
        return
    if words[:3] == ["python", "-m", "pytest"]:
        assert all((ROOT / word).exists() for word in words if word.startswith("tests/")), words
        return
    if "--config" in words:
        config = words[words.index("--config") + 1]
        path = ["--config.data.path=" + words[words.index("--data") + 1]] if "--data" in words else []
        config = str(ROOT / config) if config.endswith(".py") else config
        from_command_line(config, path + sorted(overrides(words)))
    if words[0] == "mpcl":
        run = functools.partial(run_mpcl, words)
    else:
        assert words[:2] == ["python", "-m"], f"{shlex.join(words)}: cannot be checked"
        run = functools.partial(run_module, words[2:])
    try:
        code = run()
    except Parsed:
        return
    except SystemExit as ended:
        code = ended.code
    assert not code, f"{shlex.join(words)}: refused"


def overrides(words: list[str]) -> set[str]:
    """The words that change a setting."""
    return {word for word in words if word.startswith("--config.")}


def run_mpcl(words: list[str]) -> int:
    """Calls the function behind the command `mpcl`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["mpcl"].partition(":")
    sys.argv = words
    return getattr(importlib.import_module(module), function)()


def run_module(words: list[str]) -> None:
    """python -m, in this process."""
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__")


def check_bash(example) -> None:
    """Every command of a bash block."""
    for words in commands_in(example.parsed):
        check_command(words)


@pytest.mark.usefixtures("quick_programs", "parsing")
# The tutorials run in tests/experiments/test_notebooks.py.
@pytest.mark.parametrize("page", [p for p in PAGES if p.stem not in TUTORIALS], ids=lambda page: page.name)
def test_every_code_block_works(page, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(datasets, "_datasets", datasets.registered())  # what a page registers stays on it
    assert baselines.names()  # they are loaded once; a page must not undo that
    monkeypatch.setattr(baselines, "_registered", dict(baselines._registered))
    # Small models that train in this process.
    monkeypatch.setattr(mpcl_jax, "evaluate", functools.partial(mpcl_jax.evaluate, workers=1))
    small = {"width": 8, "epochs": 2, "settings": {"model.tokens": 1, **SMALL_MODEL}}
    if ".adapt(" not in page.read_text(encoding="utf-8"):  # learning it changes nothing else
        small["personal_memory"] = False
    for name, value in small.items():
        monkeypatch.setitem(inspect.unwrap(MPCLRegressor.__init__).__kwdefaults__, name, value)
    sybil = Sybil([PythonCodeBlockParser(), CodeBlockParser("bash", check_bash), SkipParser()])
    document = sybil.parse(page)
    signals = simulate(Config().data.simulate)[0].signals
    document.namespace.update(__name__="docs", eeg=signals["eeg"][:3], video=signals["video"][:3])
    for example in document.examples():
        try:
            example.evaluate()
        except unittest.SkipTest:
            continue


def test_the_readme_is_short_and_begins_with_what_to_do():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert next(i for i, line in enumerate(lines, 1) if "pip install" in line) <= 30
    assert lines.index("```python") < 45
    assert any("the equations are ours" in line for line in lines[:25])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_files_modules_and_settings_exist(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text):
        assert re.match(r"[a-z]+:", link) or (page.parent / link).exists(), link
    for file in re.findall(r"\b(?:tests|mpcl_jax|experiments|configs|docs)/[\w/]+\.(?:py|md|csv)\b", text):
        assert (ROOT / file).exists(), file
    for file, words in re.findall(r"(tests/[\w/]+\.py) -k \"?([\w ]+)", text):
        assert all(word in (ROOT / file).read_text() for word in words.split(" or ")), f"{file} -k {words}"
    for module in re.findall(r"python -m ((?:experiments|mpcl_jax)[\w.]*)", text):
        assert importlib.util.find_spec(module), module
    for setting in SETTING.findall(text) if page.name != "CHANGELOG.md" else []:  # it names old ones, too
        assert setting_exists(setting), f"config.{setting}"


def setting_exists(name: str) -> bool:
    """Whether `name`, "train.epochs", is a setting or a group of settings."""
    value = resolve({})
    for part in name.split("."):
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True

"""Commands of experiments/ as a user types them, on the tiny data set of run_fixture.py."""

import contextlib
import csv
import io
import pathlib
import re
import runpy
import sys

import pytest
from joblib.externals.loky import get_reusable_executor
from python_process import QUICK
from run_fixture import SMALL, TINY

# Quick rather than careful, and nothing that differs between the processes of this test and of other tests.
SETTINGS = TINY | SMALL | {"train.learning_rate": 2e-3, "train.epochs": 2, "train.select": "last"}


def config_file(folder: pathlib.Path, **changes) -> pathlib.Path:
    """A config file with the tiny settings and changes, "__" for the dot."""
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    file = folder / "configs" / "tiny.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "from mpcl_jax.config import default\n\n\ndef get_config():\n    config = default()\n"
        f"    config.update_from_flattened_dict({settings!r})\n    return config\n"
    )
    return file


def words_of(experiment: str, config: pathlib.Path, folder: pathlib.Path, *words: str) -> list[str]:
    """The words behind `python` of the command `experiment` that keeps everything in `folder`."""
    places = [f"--cache={folder / 'jobs'}", f"--runs={folder / 'table'}", f"--out={folder / 'results'}"]
    return ["-m", f"experiments.tables.{experiment}", experiment, "--config", str(config), *places, *words]


@contextlib.contextmanager
def quick_workers():
    """Inside, tables have new workers, which compile quickly."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        get_reusable_executor().shutdown()
        yield
        get_reusable_executor().shutdown()


def made(experiment: str, config: pathlib.Path, folder: pathlib.Path, *words: str) -> str:
    """What the finished command printed, called in this process."""
    _, module, *argv = words_of(experiment, config, folder, *words)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [module, *argv])
        patch.delitem(sys.modules, module, raising=False)
        runpy.run_module(module, run_name="__main__")
    return printed.getvalue()


def results(folder: pathlib.Path, name: str, second: str = "_differences") -> list[dict[str, str]]:
    """The rows of a finished experiment; its files are CSV and PNG, which name command, commit and machine."""
    place = folder / "results"
    for ending in (".csv", ".png", f"{second}.csv"):
        assert (place / f"{name}{ending}").stat().st_size > 200, ending
    assert {file.suffix for file in place.iterdir()} == {".csv", ".png"}
    with (place / f"{name}.csv").open() as file:
        first = rf"# python -m experiments\.tables\.{name} {name} .* @ .* @ \d+ x .*, jax "
        assert re.match(first, file.readline())
        return list(csv.DictReader(file))

"""Commands of experiments/ as a user types them, on the tiny data set of run_fixture.py."""

import pathlib

from run_fixture import TINY

# Quick rather than careful, and nothing that differs between the processes of this test and of other tests.
SETTINGS = TINY | {"train.learning_rate": 2e-3, "train.epochs": 2, "train.select": "last"}


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

"""A user's mistakes in settings: each is refused in one line that helps. And what every config file means.

The golden dumps tests/golden/<config>.json hold every setting that a config file ends in. After a change that
is meant, write them again and look at the diff:

    PYTHONPATH=. python tests/config/test_config.py
"""

import ast
import dataclasses
import functools
import json
import math
import pathlib
import random

import pytest

from mpcl_jax.config.command_line import from_command_line, read_config_file
from mpcl_jax.config.fields import PATH, WORD
from mpcl_jax.config.resolve import LEAVES, ConfigError, default, plain, resolve
from mpcl_jax.config.schema import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
DATASET = str(ROOT / "configs" / "dataset.py")


@pytest.fixture(autouse=True)
def _configs_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def value_of(config, key: str):
    return functools.reduce(getattr, key.split("."), config)


def allowed_of(key: str):
    *groups, name = key.split(".")
    part = functools.reduce(getattr, groups, Config())
    return next(f for f in dataclasses.fields(part) if f.name == name).metadata["allowed"]


def with_setting(key: str, value) -> dict:
    """The defaults as nested dicts, with one value replaced and no check made."""
    values = dataclasses.asdict(Config())
    *groups, name = key.split(".")
    part = values
    for group in groups:
        part = part[group]
    part[name] = value
    return values


def refusal(arguments: list[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        from_command_line(DATASET, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- misspelt names ----


def misspelt(name: str, rng: random.Random) -> str:
    """`name` at edit distance 1: a letter left out, replaced, added, or two neighbours swapped."""
    i, letter = rng.randrange(len(name)), rng.choice("abcdefghijklmnopqrstuvwxyz_")
    return rng.choice(
        [
            name[:i] + name[i + 1 :],
            name[:i] + letter + name[i + 1 :],
            name[:i] + letter + name[i:],
            name[:i] + name[i + 1 : i + 2] + name[i : i + 1] + name[i + 2 :],
        ]
    )


def test_misspelt_keys_are_refused_and_the_right_one_is_suggested():
    rng, tried, right = random.Random(0), 0, 0
    for key in LEAVES:
        for _ in range(4):
            parts = key.split(".")
            i = rng.randrange(len(parts))
            parts[i] = misspelt(parts[i], rng)
            wrong = ".".join(parts)
            if wrong in LEAVES or not parts[i]:
                continue
            text = refusal([f"--config.{wrong}=1"])
            assert text.startswith(f"config.{wrong}: unknown setting; ")
            tried += 1
            right += f"did you mean config.{key}?" in text or f"did you mean config.{key} or" in text
    assert tried > 150
    assert right >= 0.95 * tried, f"{right} of {tried}"


# ---- values ----

WRONG_TEXT = {
    int: ("ten", "1.5", "1e1", "true", "()"),
    float: ("ten", "1,5", "true"),
    bool: ("maybe", "2", "0.0"),
}
SENSELESS = {int: ("-1", "0", str(10**30)), float: ("-1", "0", "nan", "inf", "-inf", "1e30")}


TUPLES = {
    tuple[int, ...]: {"a": ("a",), "(1.5,)": (1.5,), "-1": (-1,), "(True,)": (True,), "((1,),)": ((1,),)},
    tuple[float, ...]: {"()": (), "0": (0,), "(1.0, -1.0)": (1.0, -1.0), "1e999": (math.inf,), "x": ("x",)},
    tuple[str, ...]: {"1,2": (1, 2), "('a', 3)": ("a", 3)},
}


def bad_values(key: str) -> dict[str, object]:
    """Texts that may not follow --config.<key>= and what each is understood as."""
    kind, rule = LEAVES[key], allowed_of(key)
    bad = {text: text for text in WRONG_TEXT.get(kind, ())} | TUPLES.get(kind, {})
    bad |= {x: kind(x) for x in SENSELESS.get(kind, ()) if not rule.holds(kind(x))}
    if kind is str and rule not in (WORD, PATH):
        bad |= {text: text for text in ("nonsense", "", "Raw", "simulated ")}
    return bad


def test_paths_are_those_that_the_user_means(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = resolve({"data": {"kind": "folder", "path": "~/d", "cache": "c [1]"}})
    assert (config.data.path, config.data.cache) == ("/home/me/d", "c [1]")
    with pytest.raises(ConfigError, match="^config.data.path = gs://b: is a URL"):
        resolve({"data": {"kind": "folder", "path": "gs://b"}})


def test_enough_bad_values_are_tried():
    assert sum(len(bad_values(key)) for key in LEAVES) > 300


@pytest.mark.parametrize("key", LEAVES)
def test_bad_values_are_refused_naming_key_value_and_range(key):
    for text, understood in bad_values(key).items():
        words = refusal([f"--config.{key}={text}"])
        assert words.startswith(f"config.{key} = {understood!r}: must be ")
        assert words.endswith(allowed_of(key).text)


@pytest.mark.parametrize(
    "key, value",
    [
        ("train.epochs", True),
        ("train.epochs", 3.0),
        ("train.epochs", None),
        ("train.learning_rate", None),
        ("train.learning_rate", 10**400),
        ("train.learning_rate", [1.0]),
        ("train.learning_rate", "0.1"),
        ("data.path", 3),
        ("data.path", pathlib.Path("x")),
        ("data.per_subject_standardise", 1),
        ("data.modalities", "eeg"),
        ("data.modalities", (1,)),
        ("model.fusion.scales", (1.0, math.nan)),
        ("model.fusion.scales", 1.0),
        ("model", None),
        ("model.memory", 3),
    ],
)
def test_config_files_may_not_hold_other_types(key, value):
    with pytest.raises(ConfigError, match=f"config.{key} = "):
        resolve(with_setting(key, value))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--config.model.width=30"], "config.model.width = 30: must be a multiple of its heads = 4"),
        (
            ["--config.train.select=best"],
            "set config.protocol.validation above 0, or config.train.select=last",
        ),
        (["--config.model.memory.enabled=false"], "config.model.cooccurrence.enabled = True"),
        (["--config.data.kind=wesad"], "config.data.path = ''"),
        (["--config.data.path=/mine"], "config.data.path = '/mine': simulated recordings have no files"),
        (
            ["--config.data.kind=wesad", "--config.data.path=x", "--config.data.wesad.step_seconds=61"],
            "config.data.wesad.step_seconds = 61.0: must be <= window_seconds = 60.0",
        ),
        (
            ["--config.data.kind=dmer", "--config.data.path=x", "--config.data.dmer.step_seconds=6"],
            "config.data.dmer.step_seconds = 6.0: must be <= window_seconds = 5.0",
        ),
        (["--config.protocol.only=(5,)"], "config.protocol.only = (5,): folds are counted from 0 to 4"),
        (["--config.distributed.start=given"], "config.distributed.coordinator = '': must be host:port"),
        (
            ["--config.distributed.start=given", "--config.distributed.coordinator=10.0.0.1"],
            "config.distributed.coordinator = '10.0.0.1': must be host:port",
        ),
        (
            ["--config.distributed.process_count=4", "--config.distributed.process_id=4"],
            "config.distributed.process_id = 4: processes are counted from 0 to 3",
        ),
        (
            ["--config.distributed.process_count=4"],
            "config.distributed.process_count = 4: is not used by config.distributed.start = 'off'",
        ),
        (
            ["--config.distributed.start=auto", "--config.distributed.coordinator=10.0.0.1:1234"],
            "config.distributed.coordinator = '10.0.0.1:1234': is not used by",
        ),
        (
            ["--config.train.folds_at_once=6", "--config.distributed.fold_axis=4"],
            "config.distributed.fold_axis = 4: must divide config.train.folds_at_once = 6",
        ),
        (
            ["--config.train.folds_at_once=6"],
            "config.train.folds_at_once = 6: needs config.train.generator = 'threefry2x32'",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(arguments, words):
    assert words in refusal(arguments)


def test_a_manifest_brings_its_own_folds_and_validation_rows():
    config = from_command_line(
        DATASET,
        ["--config.protocol.manifest=x.json", "--config.protocol.only=7", "--config.train.select=best"],
    )
    assert config.protocol.only == (7,)


# ---- what config files mean ----


def meaning_of(path: pathlib.Path) -> dict:
    """Every setting that a config file ends in, by its full name; files on disk are the user's to name."""
    needs_files = plain(read_config_file(str(path)))["data"]["kind"] != "simulated"
    config = from_command_line(str(path), ["--config.data.path=somewhere"] if needs_files else [])
    return {key: json.loads(json.dumps(value_of(config, key))) for key in LEAVES}


REFRESH = "if this is meant: PYTHONPATH=. python tests/config/test_config.py"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_file_means_what_its_golden_dump_says(path):
    golden = ROOT / "tests" / "golden" / f"{path.stem}.json"
    assert golden.exists(), f"new config; {REFRESH}"
    means, meant = meaning_of(path), json.loads(golden.read_text())
    changed = {
        k: (meant.get(k), means.get(k)) for k in means.keys() | meant.keys() if means.get(k) != meant.get(k)
    }
    assert not changed, REFRESH


def test_no_golden_dump_is_left_over():
    golden = {path.stem for path in (ROOT / "tests" / "golden").glob("*.json")}
    assert golden == {path.stem for path in CONFIGS}


def test_defaults_resolve_and_survive_json():
    assert resolve(default()) == Config()
    assert resolve(json.loads(json.dumps(dataclasses.asdict(Config())))) == Config()


def test_every_default_keeps_its_own_range():
    for key, kind in LEAVES.items():
        assert allowed_of(key).holds(value_of(Config(), key)), key
        assert kind in (bool, int, float, str) or kind.__origin__ is tuple, key


def test_every_setting_has_a_comment_above_it():
    fields = 0
    for file in [ROOT / "mpcl_jax" / "config" / f"{name}.py" for name in ("schema", "data", "model")]:
        lines = file.read_text().splitlines()
        for node in ast.walk(ast.parse(file.read_text())):
            for field in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(field, ast.AnnAssign) and field.value.func.id == "setting":
                    fields += 1
                    above = lines[field.lineno - 2].strip()
                    assert above.startswith("# ") and len(above) > 15, (
                        f"{node.name}.{field.target.id}: no comment"
                    )
    assert fields == len(LEAVES)


if __name__ == "__main__":
    for config_file in CONFIGS:
        golden_file = ROOT / "tests" / "golden" / f"{config_file.stem}.json"
        golden_file.write_text(json.dumps(meaning_of(config_file), indent=1) + "\n")

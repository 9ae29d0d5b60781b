"""Mistakes in settings are refused in one line each; every config file has the settings of its golden dump.

The golden dumps tests/golden/<config>.json hold every setting that a config file ends in. After a change that
is meant, write them again and look at the diff:

    PYTHONPATH=. python tests/config/test_config.py
"""

import dataclasses
import functools
import json
import math
import pathlib
import random

import pytest
from python_process import ROOT

from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.config_file import read_config_file
from mpcl_jax.config.describe import settings
from mpcl_jax.config.names import NAMES, RENAMED
from mpcl_jax.config.resolve import ConfigError, check_each, default, plain, resolve
from mpcl_jax.config.schema import Config

CONFIGS = sorted((ROOT / "configs").glob("*.py"))
DATASET = str(ROOT / "configs" / "dataset.py")


def value_of(config, key: str):
    return functools.reduce(getattr, key.split("."), config)


SETTINGS = {setting.name: setting for setting in settings()}


def with_setting(key: str, value) -> dict:
    """The defaults as nested dicts, with one value replaced and no check made."""
    values = dataclasses.asdict(Config())
    *groups, name = key.split(".")
    functools.reduce(dict.__getitem__, groups, values)[name] = value
    return values


def refusal(arguments: list[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        from_command_line(DATASET, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def misspelt(name: str, rng: random.Random) -> str:
    """`name` at edit distance 1: a letter left out, replaced, added, or two neighbours swapped."""
    i, letter = rng.randrange(len(name)), rng.choice("abcdefghijklmnopqrstuvwxyz_")
    swapped = name[i + 1 : i + 2] + name[i : i + 1]
    rest = name[i + 1 :]
    return name[:i] + rng.choice([rest, letter + rest, letter + name[i:], swapped + name[i + 2 :]])


def test_misspelt_keys_are_refused_and_the_right_one_is_suggested():
    rng, tried, right = random.Random(0), 0, 0
    for key in 4 * NAMES:
        parts = key.split(".")
        i = rng.randrange(len(parts))
        parts[i] = misspelt(parts[i], rng)
        wrong = ".".join(parts)
        if wrong in NAMES or not parts[i]:
            continue
        text = refusal([f"--config.{wrong}=1"])
        assert text.startswith(f"config.{wrong}: unknown setting; ")
        tried += 1
        right += f"did you mean config.{key}?" in text or f"did you mean config.{key} or" in text
    print(f"{tried} misspelt settings refused, {right} with the right one as the first suggestion")
    assert tried > 250 and right >= 0.95 * tried


WRONG_TEXT = {int: ("ten", "1.5", "1e1", "true", "()"), float: ("ten", "1,5", "true"), bool: ("maybe", "2")}
SENSELESS = {int: ("-1", "0", str(10**30)), float: ("-1", "0", "nan", "inf", "-inf", "1e30")}


TUPLES = {
    "whole": {"a": ("a",), "(1.5,)": (1.5,), "-1": (-1,), "(True,)": (True,), "((1,),)": ((1,),)},
    "number": {"()": (), "0": (0,), "(1.0, -1.0)": (1.0, -1.0), "1e999": (math.inf,), "x": ("x",)},
    "text": {"1,2": (1, 2), "('a', 3)": ("a", 3)},
    "name": {"a b": ("a b",), "ridge,4": ("ridge", "4")},
}


def is_allowed(key: str, value) -> bool:
    try:
        check_each(with_setting(key, value))
    except ConfigError:
        return False
    return True


def bad_values(key: str) -> dict[str, object]:
    """Texts that may not follow --config.<key>= and what each is understood as."""
    setting = SETTINGS[key]
    kind = type(setting.default)
    bad = {text: text for text in WRONG_TEXT.get(kind, ())}
    bad |= {x: kind(x) for x in SENSELESS.get(kind, ()) if not is_allowed(key, kind(x))}
    if kind is tuple and key != "data.options":
        bad |= next(x for word, x in TUPLES.items() if f"each a {word}" in setting.allowed or word == "text")
    if setting.allowed.startswith("one of"):
        bad |= {text: text for text in ("nonsense", "", "Raw", "simulated ")}
    return bad


def test_a_tilde_is_the_home_folder_and_a_url_is_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/me")
    config = resolve({"data": {"kind": "folder", "path": "~/d", "cache": "c [1]"}})
    assert (config.data.path, config.data.cache) == ("/me/d", "c [1]")
    with pytest.raises(ConfigError, match="^config.data.path = 'gs://b': is a URL"):
        resolve({"data": {"kind": "folder", "path": "gs://b"}})


def test_enough_bad_values_are_tried():
    assert sum(len(bad_values(key)) for key in NAMES) > 350


@pytest.mark.parametrize("key", NAMES)
def test_bad_values_are_refused_naming_key_value_and_range(key):
    for text, understood in bad_values(key).items():
        words = refusal([f"--config.{key}={text}"])
        assert words.startswith(f"config.{key} = {understood!r}: must be ")
        assert words.endswith(SETTINGS[key].allowed)


@pytest.mark.parametrize(
    "key, value",
    [
        ("train.epochs", True),
        ("train.epochs", None),
        ("train.learning_rate", 10**400),
        ("train.learning_rate", "0.1"),
        ("data.path", pathlib.Path("x")),
        ("data.per_subject_standardise", 1),
        ("data.modalities", (1,)),
        ("model.fusion.scales", (1.0, math.nan)),
        ("model.memory", 3),
    ],
)
def test_config_files_may_not_hold_other_types(key, value):
    with pytest.raises(ConfigError, match=f"config.{key} = "):
        resolve(with_setting(key, value))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("model.width=30", "model.width = 30: must be a multiple of its heads = 4"),
        ("train.select=best", "set config.protocol.validation above 0, or config.train.select=last"),
        ("model.memory.enabled=false", "model.cooccurrence.enabled = True"),
        ("data.kind=wesad", "data.path = ''"),
        ("data.path=/mine", "data.path = '/mine': simulated recordings have no files"),
        ("data.kind=wesad data.path=x data.wesad.step_seconds=61", "step_seconds = 61.0: must be <= window_"),
        ("data.kind=dmer data.path=x data.dmer.step_seconds=6", "6.0: must be <= window_seconds = 5.0"),
        ("protocol.only=(5,)", "only = (5,): folds are counted from 0 (fold 1 of 5) to 4 (fold 5 of 5)"),
        ("distributed.start=given", "distributed.coordinator = '': must be host:port"),
        ("distributed.start=given distributed.coordinator=10.0.0.1", "'10.0.0.1': must be host:port"),
        ("distributed.process_count=4 distributed.process_id=4", "4: processes are counted from 0 to 3"),
        ("distributed.process_count=4", "process_count = 4: is not used by config.distributed.start = 'off'"),
        ("distributed.start=auto distributed.coordinator=a:1", "coordinator = 'a:1': is not used by"),
        ("train.folds_at_once=6 distributed.fold_axis=4", "must divide config.train.folds_at_once = 6"),
        ("train.folds_at_once=6", "folds_at_once = 6: needs config.train.generator = 'threefry2x32'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(arguments, words):
    with pytest.raises(ConfigError) as caught:
        from_command_line(DATASET, [f"--config.{argument}" for argument in arguments.split()])
    assert any(words in line for line in str(caught.value).splitlines())


def test_a_manifest_has_its_own_folds_and_validation_rows():
    own = ("protocol.manifest=x.json", "protocol.only=7", "train.select=best")
    assert from_command_line(DATASET, [f"--config.{argument}" for argument in own]).protocol.only == (7,)


def meaning_of(path: pathlib.Path) -> dict:
    """Every setting that a config file ends in, by its full name; files on disk are the user's to name."""
    needs_files = plain(read_config_file(str(path)))["data"]["kind"] != "simulated"
    config = from_command_line(str(path), ["--config.data.path=somewhere"] if needs_files else [])
    return {key: json.loads(json.dumps(value_of(config, key))) for key in NAMES}


def test_every_config_file_means_what_its_golden_dump_says():
    golden = {path.stem: json.loads(path.read_text()) for path in (ROOT / "tests" / "golden").glob("*.json")}
    refresh = "if this is meant: PYTHONPATH=. python tests/config/test_config.py"
    assert {path.stem: meaning_of(path) for path in CONFIGS} == golden, refresh


def test_defaults_resolve_and_survive_json():
    assert resolve(default()) == Config()
    assert resolve(json.loads(json.dumps(dataclasses.asdict(Config())))) == Config()


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.name)
def test_every_setting_is_described_and_its_default_is_allowed(setting):
    assert len(setting.meaning) > 10 and setting.meaning.endswith("."), "needs a sentence below it"
    assert setting.allowed and value_of(Config(), setting.name) == setting.default
    check_each(with_setting(setting.name, setting.default))


@pytest.mark.parametrize("old", RENAMED)
def test_renamed_settings_are_refused_with_the_new_name(old):
    assert RENAMED[old] in NAMES and old not in NAMES
    assert refusal([f"--config.{old}=1"]) == f"config.{old}: was renamed to config.{RENAMED[old]}"
    with pytest.raises(ConfigError, match=f"config.{old}: was renamed to config.{RENAMED[old]}$"):
        resolve(with_setting(old, 1))


def test_several_mistakes_are_one_line_each():
    with pytest.raises(ConfigError) as caught:
        from_command_line(DATASET, ["--config.train.epochs=0", "--config.seed=-1", "--config.model.width=x"])
    names = [line.partition(" = ")[0] for line in str(caught.value).splitlines()]
    assert names == ["config.model.width", "config.seed", "config.train.epochs"]
    with pytest.raises(ConfigError) as caught:
        from_command_line(DATASET, ["--config.train.epoch=0", "--config.model.width=30", "--sed=1"])
    assert len(str(caught.value).splitlines()) == 2  # 30 contradicts another setting, which may still change


def test_options_of_a_registered_data_set_are_read_and_hashable():
    options = ["--config.data.options.window=5", "--config.data.options.part=left"]
    data = from_command_line(DATASET, ["--config.data.kind=mine", *options]).data
    assert data.kind == "mine" and dict(data.options) == {"window": 5, "part": "left"}
    assert hash(data) == hash(resolve(json.loads(json.dumps({"data": dataclasses.asdict(data)}))).data)
    assert "must be names with a number" in refusal(["--config.data.options.window=(1, 2)"])


if __name__ == "__main__":
    for config_file in CONFIGS:
        golden_file = ROOT / "tests" / "golden" / f"{config_file.stem}.json"
        golden_file.write_text(json.dumps(meaning_of(config_file), indent=1) + "\n")

"""Data sets from outside the package: by a call, by an entry point, and in another process."""

import sys

import cloudpickle
import numpy as np
import pytest
from python_process import python

from mpcl_jax.config.data import DataConfig, SimulateConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data import registry
from mpcl_jax.data.pipeline import load
from mpcl_jax.types import DataError

TOY = """
import numpy as np
from recordings_fixture import recordings_of

def load(data):
    eda = np.arange(12, dtype=np.float32).reshape(6, 1, 2)
    return recordings_of(3, 2, 1)._replace(name="toy", signals={"eda": eda}, notes=(data.path,))
"""


@pytest.fixture(autouse=True)
def unchanged_registry(monkeypatch):
    built_in = {name: registry.registered()[name] for name in ("simulated", "dmer", "wesad", "folder")}
    monkeypatch.setattr(registry, "_datasets", built_in)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An installed package `toy_emotions` with an entry point, and its function."""
    (tmp_path / "toy_emotions.py").write_text(TOY)
    home = tmp_path / "toy_emotions-1.0.dist-info"
    home.mkdir()
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: toy_emotions\nVersion: 1.0\n")
    entries = "[mpcl_jax.datasets]\ntoy_installed = toy_emotions:load\nbroken = toy_emotions:lod\n"
    (home / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("toy_emotions").load
    del sys.modules["toy_emotions"]


def test_a_function_from_outside_is_loaded_through_the_pipeline(toy):
    registry.register_dataset("toy", toy)
    recordings = load(DataConfig(kind="toy", path="/data/toy"))
    assert recordings.name == "toy" and recordings.notes[0] == "/data/toy"
    assert set(recordings.subject) == {"S0", "S1", "S2"}
    assert load(DataConfig(kind="toy", modalities=("eda",))).groups == {"eda": "physiological"}


def test_an_installed_package_is_found_when_its_name_is_used(toy):
    assert "toy_installed" not in registry.registered()
    assert load(DataConfig(kind="toy_installed", path="p")).name == "toy"
    assert registry.registered()["toy_installed"] is toy
    registry.register_dataset("simulated", toy)  # replaces one of the same name
    assert load(DataConfig(kind="simulated", simulate=SimulateConfig())).name == "toy"


def test_another_process_gets_what_was_registered(toy, tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules["toy_emotions"])
    registry.register_dataset("toy", toy)
    (tmp_path / "registered").write_bytes(cloudpickle.dumps(registry.registered()))
    cloudpickle.unregister_pickle_by_value(sys.modules["toy_emotions"])
    code = (
        "import pickle, sys; from mpcl_jax.data import pipeline, registry\n"
        "from mpcl_jax.config.data import DataConfig\n"
        "registry.restore(pickle.load(open(sys.argv[1], 'rb')))\n"
        "print(pipeline.load(DataConfig(kind='toy', path='p')).name)"
    )
    assert python("-c", code, tmp_path / "registered", cwd="/").stdout == "toy\n"


def test_unknown_names_are_refused_with_the_known_ones(toy):
    with pytest.raises(ConfigError, match="'wesda': no such data set; did you mean 'wesad'?"):
        load(DataConfig(kind="wesda"))
    with pytest.raises(ConfigError, match="known: simulated, dmer, wesad, folder, broken, toy_installed"):
        load(DataConfig(kind="zzz"))
    with pytest.raises(ConfigError, match="config.data.kind = 'broken': 'toy_emotions:lod' of an installed"):
        load(DataConfig(kind="broken"))


def test_what_cannot_be_a_data_set_is_refused(toy):
    with pytest.raises(ConfigError, match="'my-set' is no name"):
        registry.register_dataset("my-set", toy)
    with pytest.raises(ConfigError, match="needs a function, got str"):
        registry.register_dataset("toy", "toy_emotions:load")
    registry.register_dataset("toy", lambda data: [1])
    with pytest.raises(DataError, match="data set 'toy' returned list; wanted Recordings"):
        load(DataConfig(kind="toy"))
    registry.register_dataset("toy", lambda data: toy(data)._replace(labels=np.ones((6, 2))))
    with pytest.raises(DataError, match="labels, row 0: does not sum to 1"):
        load(DataConfig(kind="toy"))

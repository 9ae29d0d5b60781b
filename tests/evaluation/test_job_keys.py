"""Keys of finished jobs: they hold all that changes a result, and nothing else."""

import runpy
import shutil

import numpy as np
import pytest
from run_fixture import tiny_config

from mpcl_jax.baselines import registry
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluation.jobs.keys import (
    BASELINES,
    PACKAGE,
    TRAINING,
    baseline_key,
    code_hash,
    digest,
    fold_key,
    hash_of,
    load_table_data,
    source_file,
)
from mpcl_jax.evaluation.jobs.work import cached_table_data
from mpcl_jax.types import DataError


@pytest.fixture(scope="module")
def table_data():
    return load_table_data(tiny_config())


def name_of(table_data, number=1, **changes) -> str:
    return digest(fold_key(tiny_config(**changes), table_data, number))


@pytest.mark.parametrize(
    "changes",
    [
        {"data__cache": "elsewhere"},
        {"train__checkpoint_every": 7},
        {"train__folds_at_once": 3, "train__generator": "threefry2x32"},
        {"train__stream_rows": 20},
        {"log__report": False},
        {"distributed__timeout": 50},
        {"benchmark__tries": 2},
        {"protocol__only": (1,)},
    ],
    ids=str,
)
def test_what_changes_no_result_changes_no_key(table_data, changes):
    generator = {"train__generator": "threefry2x32"} if "train__generator" in changes else {}
    assert name_of(table_data, **changes) == name_of(table_data, **generator)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"model__dropout": 0.3},
        {"model__memory__momentum": 0.5},
        {"loss__prototype": 0.2},
        {"train__epochs": 4},
        {"train__generator": "threefry2x32"},
    ],
    ids=str,
)
def test_what_changes_a_result_changes_the_key(table_data, changes):
    assert name_of(table_data, **changes) != name_of(table_data)


def test_the_fold_the_recordings_and_the_split_are_in_the_key(table_data):
    assert name_of(table_data, 0) != name_of(table_data, 1)
    noisier = tiny_config(data__simulate__noise=1.5)
    assert name_of(load_table_data(noisier)) != name_of(table_data)
    another_split = load_table_data(tiny_config(protocol__seed=1))
    assert another_split.sha256 == table_data.sha256
    assert name_of(another_split) != name_of(table_data)
    other_valence = table_data.recordings._replace(valence=table_data.recordings.valence[::-1])
    assert hash_of(other_valence) != hash_of(table_data.recordings) == table_data.sha256


def test_a_table_of_some_folds_shares_the_jobs_of_one_of_all(table_data):
    some = load_table_data(tiny_config(protocol__only=(2, 1)))
    assert some.numbers == (1, 2) and table_data.numbers == (0, 1, 2)
    assert some.split.sha256 != table_data.split.sha256
    assert name_of(some) == name_of(table_data)


def test_a_modality_that_some_fold_cannot_train_is_refused_before_any_job(table_data, monkeypatch):
    last = table_data.whole.folds[-1]
    name = next(iter(table_data.recordings.present))
    only_there = np.isin(np.arange(len(table_data.recordings.labels)), last.test)
    world = table_data.recordings._replace(present=table_data.recordings.present | {name: only_there})
    monkeypatch.setattr("mpcl_jax.evaluation.jobs.keys.load", lambda settings: world)
    with pytest.raises(DataError, match=f"{last.name}: no training window has '{name}'; leave it out"):
        load_table_data(tiny_config())
    others = tiny_config(protocol__only=(0, 1))  # a table and its workers may leave that fold out
    assert len(load_table_data(others).split.folds) == len(cached_table_data(others).split.folds) == 2


def test_of_the_settings_a_baseline_has_only_its_own(table_data):
    def key(name="mlp", **changes):
        return digest(baseline_key(name, tiny_config(**changes), table_data, 1))

    assert key(model__dropout=0.3, train__epochs=4, benchmark__baselines=("mlp",)) == key()
    assert len({key(), key("ridge"), key(seed=1), key(benchmark__tries=2)}) == 4


def test_a_registered_baseline_is_known_by_its_file_and_grid(table_data, tmp_path, monkeypatch):
    def key(text="", grid=None):
        file = tmp_path / "toy.py"
        file.write_text(f"def make(seed, k=1): {text!r}\n")
        made = runpy.run_path(str(file))
        registry.register_baseline("toy", made["make"], grid=grid)
        code_hash.cache_clear()
        return digest(baseline_key("toy", tiny_config(), table_data, 1))

    registry.names()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    assert key() == key()
    assert len({key(), key("another"), key(grid={"k": (1, 2)}), key(grid={"k": (1, 3)})}) == 4


def test_a_baseline_without_a_file_is_refused():
    namespace = {}
    exec("def make(seed): pass", namespace)
    with pytest.raises(ConfigError, match="define it in a file"):
        source_file(namespace["make"])


def test_an_edit_counts_only_where_results_come_from(tmp_path):
    """In training, in the frame of all baselines and in the MLP: what each of them imports, and no other file."""
    package = tmp_path / "mpcl_jax"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "presets"))

    def hashes(package):
        code_hash.cache_clear()
        return [code_hash(package / x, package=package) for x in (TRAINING, BASELINES, "baselines/mlp.py")]

    before = hashes(package)
    assert before == hashes(PACKAGE)
    for edited, counts in {
        "report/page.py": [False, False, False],
        "baselines/ridge.py": [False, False, False],
        "baselines/network.py": [False, False, True],
        "model/fusion.py": [True, False, False],
        "model/cooccurrence.py": [True, False, False],
        "train/augment.py": [True, False, True],
        "train/memory_fit.py": [True, True, False],
        "data/splits/protocols.py": [True, True, False],
        "baselines/selection.py": [False, True, True],
        "config/__init__.py": [True, True, True],
        "metrics.py": [True, True, True],
    }.items():
        with (package / edited).open("a") as file:
            file.write("\n# a remark\n")
        after = hashes(package)
        assert [a != b for a, b in zip(before, after, strict=True)] == counts, edited
        before = after

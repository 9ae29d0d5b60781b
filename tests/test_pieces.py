"""What finished pieces of tables are kept under: all that changes a result, and nothing else."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
from run_fixture import tiny_config

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluate.jobs import pieces
from mpcl_jax.evaluate.jobs.piece_work import ground_in_this_process
from mpcl_jax.evaluate.jobs.pieces import (
    BASELINES_START_AT,
    MPCL_STARTS_AT,
    NEUTRAL,
    PACKAGE,
    baseline_key,
    code_hash,
    digest,
    fold_key,
    ground_of,
    hash_of,
    sources_of,
)
from mpcl_jax.types import DataFileError


@pytest.fixture(scope="module")
def ground():
    return ground_of(tiny_config())


def name_of(ground, number=1, **changes) -> str:
    return digest(fold_key(tiny_config(**changes), ground, number))


@pytest.mark.parametrize(
    "changes",
    [
        {"data__cache": "elsewhere"},
        {"train__checkpoint_every": 7},
        {"train__folds_at_once": 3, "train__generator": "threefry2x32"},
        {"train__stream_rows": 20},
        {"log__report": False},
        {"distributed__patience": 50},
        {"benchmark__tries": 2},
        {"protocol__only": (1,)},
    ],
    ids=str,
)
def test_what_changes_no_result_changes_no_key(ground, changes):
    generator = {"train__generator": "threefry2x32"} if "train__generator" in changes else {}
    assert name_of(ground, **changes) == name_of(ground, **generator)


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
def test_what_changes_a_result_changes_the_key(ground, changes):
    assert name_of(ground, **changes) != name_of(ground)


def test_the_fold_the_recordings_and_the_split_are_in_the_key(ground):
    assert name_of(ground, 0) != name_of(ground, 1)
    louder = tiny_config(data__simulate__noise=1.5)
    assert name_of(ground_of(louder)) != name_of(ground)
    another_split = ground_of(tiny_config(protocol__seed=1))
    assert another_split.sha256 == ground.sha256
    assert name_of(another_split) != name_of(ground)
    other_valence = ground.recordings._replace(valence=ground.recordings.valence[::-1])
    assert hash_of(other_valence) != hash_of(ground.recordings) == ground.sha256


def test_a_table_of_some_folds_shares_the_pieces_of_one_of_all(ground):
    some = ground_of(tiny_config(protocol__only=(2, 1)))
    assert some.numbers == (1, 2) and ground.numbers == (0, 1, 2)
    assert some.split.sha256 != ground.split.sha256
    assert name_of(some) == name_of(ground)


def test_a_modality_that_some_fold_cannot_train_is_refused_before_any_piece(ground, monkeypatch):
    last = ground.whole.folds[-1]
    name = next(iter(ground.recordings.present))
    only_there = np.isin(np.arange(len(ground.recordings.labels)), last.test)
    world = ground.recordings._replace(present=ground.recordings.present | {name: only_there})
    monkeypatch.setattr(pieces, "load", lambda settings: world)
    with pytest.raises(DataFileError, match=f"{last.name}: no training window has '{name}'; leave it out"):
        ground_of(tiny_config())
    others = tiny_config(protocol__only=(0, 1))  # a table and its workers may leave that fold out
    assert len(ground_of(others).split.folds) == len(ground_in_this_process(others).split.folds) == 2


def test_of_the_settings_a_baseline_has_only_its_own(ground):
    def key(name="mlp", **changes):
        return digest(baseline_key(name, tiny_config(**changes), ground, 1))

    assert key(model__dropout=0.3, train__epochs=4, benchmark__baselines=("mlp",)) == key()
    assert len({key(), key("ridge"), key(seed=1), key(benchmark__tries=2)}) == 4


def test_the_code_of_a_result_is_the_model_the_training_and_nothing_that_only_tells_or_keeps():
    mpcl, baselines = sources_of(MPCL_STARTS_AT), sources_of(BASELINES_START_AT)
    layers = {
        f"model.{name}" for name in ("mpcl", "fusion", "prototypes", "cooccurrence", "distribution_head")
    }
    assert layers | {"model.losses", "train.step", "train.folds", "data.normalise"} <= mpcl
    assert {"baselines.registry", "baselines.mlp", "baselines.selection", "data.normalise"} <= baselines
    assert not layers & baselines
    for name in NEUTRAL:  # a module that has moved would count again, silently
        assert (PACKAGE / f"{name.replace('.', '/')}.py").exists(), name


def test_an_edit_counts_only_where_results_come_from(tmp_path):
    package = tmp_path / "mpcl_jax"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = code_hash(MPCL_STARTS_AT, package)
    assert before == code_hash(MPCL_STARTS_AT)
    append(package / "train" / "progress.py")
    append(package / "report" / "page.py")
    code_hash.cache_clear()
    assert code_hash(MPCL_STARTS_AT, package) == before
    append(package / "model" / "fusion.py")
    code_hash.cache_clear()
    assert code_hash(MPCL_STARTS_AT, package) != before


def append(file: pathlib.Path) -> None:
    file.write_text(file.read_text() + "\n# a remark\n")


def test_the_ground_refuses_folds_that_there_are_not():
    config = tiny_config()
    protocol = dataclasses.replace(config.protocol, only=(9,))
    with pytest.raises(ConfigError, match="only"):
        ground_of(dataclasses.replace(config, protocol=protocol))

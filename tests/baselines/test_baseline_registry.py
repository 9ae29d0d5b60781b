"""Baselines of users: registered, found, refused, and passed on to other processes."""

import sys

import numpy as np
import pytest
from test_baselines import planted

from mpcl_jax.baselines import registry
from mpcl_jax.baselines.registry import register_baseline, wanted
from mpcl_jax.baselines.selection import Task
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import BASELINES, QUICK_BASELINES, BenchmarkConfig


class Constant:
    """Predicts (`first`, 1, 1, 1) before renormalisation, whatever it is fitted on."""

    def __init__(self, first, shape=None):
        self._first, self._shape = first, shape

    def fit(self, x, labels):
        if self._first == "bad":
            raise ValueError("cannot be fitted")
        return self

    def predict(self, x):
        return np.tile([self._first, 1.0, 1.0, 1.0], (len(x), 1))[self._shape or slice(None)]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Each test registers into a registry of its own."""
    registry.names()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def predicted(name, tries=6):
    train = planted(rows=40)
    return registry.predict(name, Task(train, train.x[:5], None, None, ()), seed=3, tries=tries)


def test_an_estimator_is_a_baseline_and_its_predictions_become_distributions():
    seeds = []
    register_baseline("toy", lambda seed: seeds.append(seed) or Constant(-2.0))
    assert registry.names()[-1] == "toy" and registry.tried("toy", 6) == 0
    shares, setting = predicted("toy")
    assert np.allclose(shares, np.array([1e-6, 1, 1, 1]) / 3.000001) and setting == ""
    assert seeds == [3]


def test_the_grid_is_searched_within_the_budget_and_with_the_arguments_of_the_search():
    made = []

    def make(seed, first, size=200):
        made.append((first, size))
        return Constant(first)

    register_baseline("toy", make, grid={"first": (1e3, 1.0, 1e6)}, search={"size": 2})
    assert registry.tried("toy", 2) == 2 and registry.tried("toy", 9) == 3
    assert predicted("toy", tries=2).setting == "first=1.0"
    assert {size for _, size in made[:-1]} == {2} and made[-1] == (1.0, 200)
    assert {first for first, _ in made} == {1e3, 1.0}


@pytest.mark.parametrize(
    ("first", "shape", "message"),
    [
        ("bad", None, r"baseline 'toy': .*test_baseline_registry.py, line \d+: ValueError: cannot be fitted"),
        (
            np.nan,
            None,
            r"baseline 'toy': predict\(\) returned NaN or infinite numbers; wanted shape \(5, 4\), all finite",
        ),
        (1.0, np.s_[:, :3], r"'toy': predict\(\) returned shape \(5, 3\); wanted shape \(5, 4\), all finite"),
    ],
)
def test_an_estimator_that_fails_is_named(first, shape, message):
    register_baseline("toy", lambda seed: Constant(first, shape))
    with pytest.raises(ConfigError, match=message):
        predicted("toy")


@pytest.mark.parametrize(
    ("numbers", "error"), [(-1.0, "returned no number above 0"), ("x", "returned no numbers; wanted shape")]
)
def test_predictions_that_would_become_uniform_are_refused(numbers, error, monkeypatch):
    monkeypatch.setattr(Constant, "predict", lambda self, x: np.full((len(x), 4), numbers))
    register_baseline("toy", lambda seed: Constant(1.0))
    with pytest.raises(ConfigError, match=rf"baseline 'toy': predict\(\) {error}"):
        predicted("toy")


def test_single_rows_that_become_uniform_are_counted(monkeypatch, capsys):
    monkeypatch.setattr(Constant, "predict", lambda self, x: np.diag([1.0, 0, 1, 0, 1])[:, :4])
    register_baseline("toy", lambda seed: Constant(1.0))
    np.testing.assert_allclose(predicted("toy").shares[1], 0.25)
    assert "row 1 of predict() has no number above 0 (3 in all)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ridge", "all", "MPCL", "my baseline"])
def test_names_that_are_taken_or_cannot_be_used_are_refused(name):
    with pytest.raises(ConfigError, match=f"register_baseline\\('{name}'\\)"):
        register_baseline(name, lambda seed: Constant(1.0))


def test_a_baseline_needs_one_of_make_and_predict():
    with pytest.raises(ConfigError, match="give either make or predict"):
        register_baseline("toy")


@pytest.mark.parametrize(("body", "found"), [("register_baseline('toy', float)", True), ("1 / 0", False)])
def test_installed_packages_register_through_their_entry_point(tmp_path, monkeypatch, body, found):
    line = "from mpcl_jax.baselines.registry import register_baseline"
    (tmp_path / "toy_package.py").write_text(f"{line}\n{body}\n")
    info = tmp_path / "toy_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mpcl_jax.baselines]\ntoy = toy_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._load.cache_clear()
    try:
        if found:
            assert "toy" in registry.names()
        else:
            with pytest.raises(ConfigError, match="entry point 'toy' of .*: .*ZeroDivisionError"):
                registry.names()
    finally:
        sys.modules.pop("toy_package", None)
        registry._load.cache_clear()


def test_which_baselines_run():
    assert wanted(BenchmarkConfig()) == QUICK_BASELINES
    assert wanted(BenchmarkConfig(baselines=("all",))) == BASELINES
    assert wanted(BenchmarkConfig(baselines=("helo", "knn"))) == ("train_mean", "knn", "helo")
    assert registry.names() == BASELINES
    register_baseline("own", lambda seed: Constant(1.0))
    assert wanted(BenchmarkConfig(baselines=("own", "knn"))) == ("train_mean", "knn", "own")
    assert wanted(BenchmarkConfig(baselines=("all",))) == (*BASELINES, "own")


def test_an_unknown_baseline_is_refused_with_the_nearest_name():
    text = r"config.benchmark.baselines = 'rigde': unknown baseline; did you mean 'ridge'\?"
    with pytest.raises(ConfigError, match=text):
        wanted(BenchmarkConfig(baselines=("knn", "rigde")))

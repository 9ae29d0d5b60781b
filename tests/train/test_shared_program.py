"""Trainings of equal settings and shapes share one compiled program; other settings have their own."""

import jax
import numpy as np
import pytest
from run_fixture import SMALL_MODEL

from mpcl_jax import MPCLRegressor
from mpcl_jax.estimator import fitted
from mpcl_jax.train import folds, in_memory, kept_programs, run

pytestmark = pytest.mark.usefixtures("quick_programs")
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def fit():
    """`fit(rows, **settings)` trains on `rows` of 24 and returns the number of programs compiled, and the model."""
    seen, draw = [], np.random.default_rng(0)
    x, y = draw.normal(size=(24, 5)), draw.dirichlet(np.ones(3), 24)

    def count(event, *_, **__):
        seen.append(event)

    def fitted(rows, **settings):
        seen.clear()
        own = {"train.epochs": 1, "train.batch_size": 8, "train.select": "last", "model.width": 8}
        model = MPCLRegressor(settings=own | SMALL_MODEL | settings).fit(x[rows], y[rows])
        return seen.count(COMPILED), model.predict(x)

    jax.monitoring.register_event_duration_secs_listener(count)
    yield fitted
    jax.monitoring.unregister_event_duration_listener(count)


def test_a_fold_of_equal_size_compiles_nothing_and_has_the_numbers_of_a_program_of_its_own(fit):
    first, other = np.arange(16), np.arange(8, 24)
    assert fit(first)[0] > 0
    compiled, predicted = fit(other)
    assert compiled == 0
    run.shared_program.cache_clear()
    compiled, anew = fit(other)
    assert compiled > 0
    np.testing.assert_array_equal(predicted, anew)


def test_what_changes_a_program_has_its_own(fit):
    rows = np.arange(16)
    results = [fit(rows, **own)[1] for own in ({}, {"train.learning_rate": 0.1}, {"loss.prototype": 5.0})]
    assert all(np.abs(results[0] - other).max() > 1e-6 for other in results[1:])


@pytest.mark.parametrize("memory", [True, False])
def test_a_later_process_reads_the_epoch_and_gets_the_same_bits(fit, tmp_path, monkeypatch, memory):
    own = dict.fromkeys(("model.memory.enabled", "model.cooccurrence.enabled"), memory)
    traced, whole_epoch = [], folds.whole_epoch

    def counted(parts):
        epoch = whole_epoch(parts)
        return lambda *arguments: traced.append(1) or epoch(*arguments)

    monkeypatch.setattr(kept_programs, "user_folder", lambda: tmp_path)
    monkeypatch.setattr(folds, "whole_epoch", counted)
    results = []
    for keeps in (False, True, True):
        monkeypatch.setattr(folds, "keeps_programs", lambda keeps=keeps: keeps)
        run.shared_program.cache_clear()
        results.append(fit(np.arange(16), **own)[1])
    assert len(traced) == 2  # without keeping, and by the first process that keeps
    assert len(list(tmp_path.rglob("epoch-*"))) == 1
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_the_folder_of_traced_programs_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_programs, "user_folder", lambda: tmp_path)
    for most, files in ((10**8, 1), (0, 0)):
        monkeypatch.setattr(kept_programs, "MOST_KEPT", most)
        double = kept_programs.kept(
            "double", {}, lambda x: {"y": 2 * x}, lambda arguments, names, arrays: arrays[0]
        )
        assert float(jax.jit(double)(1.5)) == 3.0
        assert len([x for x in tmp_path.rglob("double-*") if x.is_file()]) == files
        for file in tmp_path.rglob("double-*"):
            file.unlink()


@pytest.mark.parametrize("keep", [True, False])
def test_the_setting_decides_whether_fit_keeps_compiled_programs(fit, monkeypatch, keep):
    called = []
    for module in (in_memory, fitted):
        monkeypatch.setattr(module, "keep_programs_of_callers", lambda module=module: called.append(module))
    fit(np.arange(16), **{"log.keep_compiled": keep})
    assert called == [in_memory, fitted] * keep

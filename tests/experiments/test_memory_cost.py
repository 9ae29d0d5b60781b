"""Subjects without a style of their own lose nothing by the memory; those with one gain, also with zeros."""

import numpy as np
import pytest

from experiments.tables import memory_cost


@pytest.mark.parametrize("zeros", [False, True])
def test_the_memory_costs_nothing_without_a_style_and_helps_with_one(zeros, monkeypatch):
    monkeypatch.setattr(memory_cost, "TESTED", 60)
    before, after, on = memory_cost.measure(0.0, zeros, draws=1)
    assert (after <= 1.005 * before).all() and before.shape == (memory_cost.TRIALS,)
    before, after, on = memory_cost.measure(0.5, zeros, draws=1)
    assert on == 1 and after[0] == before[0] and (after[1:] < 0.95 * before[1:]).all()


def test_zeros_are_reported_and_every_row_has_its_change(monkeypatch):
    labels = memory_cost.drawn(np.random.default_rng(0), 3, 0.0, True).labels
    assert (labels == 0).any() and np.allclose(labels.sum(1), 1)
    monkeypatch.setattr(memory_cost, "CASES", {"own style": (0.5, False)})
    monkeypatch.setattr(memory_cost, "measure", lambda *_: (np.array([0.2, 0.2]), np.array([0.2, 0.1]), 1))
    first, second = memory_cost.report(1)
    assert first["change_percent"] == "+0.00" and second["change_percent"] == "-50.00"
    assert second["draws_on"] == "1 of 1" and second["n"] == "1"

"""experiments/speed/predict_start.py: the smallest time of each step, for two checkouts in turn."""

import pathlib

from experiments.speed import predict_start


def test_checkouts_take_turns_and_the_smallest_time_is_shown(tmp_path, monkeypatch):
    called = []

    def child(words, checkout, folder):
        called.append((checkout.name, words[-1]))
        return " ".join([str(len(called))] * 2 * len(predict_start.STEPS)), 0.5

    monkeypatch.setattr(predict_start, "child", child)
    table = predict_start.table([pathlib.Path("new"), pathlib.Path("old")], 2, tmp_path)
    timed = [name for name, words in called if words == predict_start.PREDICT]
    assert timed == ["new", "old", "new", "old", "new", "old"]  # the first of each is not counted
    assert list(table["step"]) == [*predict_start.STEPS, "total", "mpcl --help"]
    first, help_ = table.iloc[0], table.iloc[-1]
    assert float(first["this, wall s"]) < float(first["other, wall s"]) and first["this, cpu s"] == "7.00"
    assert help_["this, cpu s"] == "0.50" and help_["this, wall s"] == ""

"""experiments/speed/growth.py: that it runs, and that its exponents are those of known costs."""

import csv

import jax
import pytest
from run_fixture import quick_options

from experiments.speed import growth


def quickly(function, *, once=False):
    return jax.jit(function, compiler_options=quick_options())


# 3 n² + 0 n, 5 n and a constant, from n = 4 to n = 8.
def test_exponents_are_those_of_the_last_two_points():
    points = [growth.Point("emotions", n, 3.0 * n**2, 5.0 * n, 7.0) for n in (1, 4, 8)]
    assert growth.exponents(points) == pytest.approx({"flop": 2.0, "memory": 1.0, "time": 0.0})


@pytest.mark.long
def test_measures_an_axis_and_writes_it_down(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "BASE", growth.BASE | {"samples": 4, "tokens": 1, "width": 8})
    monkeypatch.setattr(growth, "compiled", quickly)
    monkeypatch.setitem(growth.POINTS, "prototypes", (2, 4))
    out = tmp_path / "new" / "growth.csv"
    growth.main(["--axes", "prototypes", "--points", "2", "--repeats", "1", "--out", str(out)])
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# python -m experiments.speed.growth --axes prototypes")
    rows = list(csv.DictReader(lines[1:]))
    assert [(r["axis"], r["size"]) for r in rows] == [("prototypes", "2"), ("prototypes", "4")]
    assert all(float(r[what]) > 0 for r in rows for what in ("flop", "memory", "time"))
    assert float(rows[1]["flop"]) > float(rows[0]["flop"])
    frame = growth.exponent_frame([growth.Point("width", n, n**2, n, 1.0) for n in (1, 2)])
    assert frame.iloc[0].tolist() == ["width", "2.00", "1.00", "0.00", "2"]
    assert "| allowed |" in capsys.readouterr().out


def test_an_unknown_axis_is_one_line(capsys):
    with pytest.raises(SystemExit):
        growth.main(["--axes", "height"])
    assert "unknown 'height'" in capsys.readouterr().err

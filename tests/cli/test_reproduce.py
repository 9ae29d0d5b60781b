"""`mpcl reproduce`: tolerances by hand, every status, and the command on a table of its own."""

import pytest

from mpcl_jax.cli import reproduce
from mpcl_jax.cli.reproduce import DRIFT, FAIL, PASS, command_of, compare, tolerance_of
from mpcl_jax.types import DataError

COLUMNS = ("chebyshev", "clark", "canberra", "kl", "cosine", "intersection", "skill")
COLUMNS += ("kl_low", "kl_high", "kl_seed_sd", "seeds")
FIXED = {"interval_over": "6 subjects", "windows": "72", "subjects": "6", "split": "grouped"}
FIXED |= {"split_sha256": "ab"}


def row(method, values, **changes):
    return {"method": method} | dict(zip(COLUMNS, map(str, values), strict=True)) | FIXED | changes


MEAN = row("train_mean", (0.2, 0.5, 1.0, 0.2, 0.8, 0.7, 0.0, 0.1, 0.3, 0.0, 1))
MPCL = row("MPCL", (0.2, 0.5, 1.0, 0.1, 0.9, 0.7, 0.5, 0.08, 0.13, 0.01, 4))


def test_tolerances_by_hand():
    # s / KL = .01 / .1 = .1, times 2 √2 / √4 = 1.41421: .141421 of a value.
    relative = 0.141421
    expected = {"kl": 0.0141421, "kl_low": 0.0141421, "chebyshev": 0.2 * relative, "cosine": 0.1 * relative}
    expected |= {"intersection": 0.3 * relative, "skill": 0.1 / 0.2 * relative}
    for column, value in expected.items():
        assert tolerance_of(MPCL, column, 0.2) == pytest.approx(value, rel=1e-5), column
    # No spread: half a unit of the last printed digit; one seed: 2 %.
    assert tolerance_of(MEAN, "kl", 0.2) == 5e-5 and tolerance_of(MEAN, "skill", 0.2) == 5e-3
    assert tolerance_of(MPCL | {"kl_seed_sd": "nan", "seeds": "1"}, "kl", 0.2) == pytest.approx(0.002)


@pytest.mark.parametrize(
    "column, value, status",
    [
        ("kl", 0.1 + 0.0141, PASS),
        ("kl", 0.1 - 0.0142, DRIFT),
        ("kl", 0.1 + 0.0424, DRIFT),
        ("kl", 0.1 + 0.0425, FAIL),
        ("cosine", 0.9 - 0.0425, FAIL),
        ("kl_high", "nan", FAIL),
        ("windows", 71, FAIL),
        ("split_sha256", "cd", FAIL),
        ("seeds", 3, FAIL),
    ],
)
def test_one_changed_cell_gets_its_verdict_and_no_other(column, value, status):
    cells = compare([MEAN, MPCL], [MEAN, MPCL | {column: str(value)}])
    assert len(cells) == 2 * 15
    assert [(c.column, c.status) for c in cells if c.status != PASS] == [(column, status)][: status != PASS]


def test_a_method_too_few_or_too_many_fails():
    missing, added = compare([MEAN, MPCL], [MEAN]), compare([MEAN], [MEAN, MPCL])
    assert [(c.method, c.again) for c in missing if c.status == FAIL] == [("MPCL", "missing")]
    assert [(c.method, c.again) for c in added if c.status == FAIL] == [("MPCL", "there")]


@pytest.mark.parametrize(
    "line", ["rm x @ 1", "python -c x @ 1", "python -m x.y a @ 1", "python experiments/a.py a @ 1", ""]
)
def test_only_commands_of_experiments_are_run(line):
    with pytest.raises(DataError, match="names no `python -m experiments.tables"):
        command_of("t.csv", line)
    words = "-m experiments.tables.a t --seeds 2"
    assert command_of("t.csv", f"python {words} @ 1")[1:] == words.split()


SCRIPT = """
import pathlib, sys
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] != "t" or words["--seeds"] != "2":
    sys.exit(3)
out = pathlib.Path(words["--out"])
out.mkdir(parents=True)
text = pathlib.Path("experiments/results/t.csv").read_text()
(out / "t.csv").write_text(text.replace("0.08", words.get("--data", "0.08")[-4:]))
"""


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    results = tmp_path / "experiments" / "results"
    results.mkdir(parents=True)
    rows = [MEAN, MEAN.values(), MPCL.values()]
    lines = ["# python -m experiments.tables.fake t --seeds 2 @ 123", *map(",".join, rows), ""]
    (results / "t.csv").write_text("\n".join(lines))
    (results / "t_subjects.csv").write_text("")
    (tmp_path / "experiments" / "tables").mkdir()
    (tmp_path / "experiments" / "tables" / "fake.py").write_text(SCRIPT)
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return results


def test_the_command_runs_the_table_and_prints_the_comparison(shipped, capsys):
    assert reproduce.run(["t"]) == 0
    printed = capsys.readouterr().out
    assert "PASS   MPCL           15 of 15 cells" in printed
    assert printed.endswith("30 PASS, 0 DRIFT, 0 FAIL\n")
    assert reproduce.run(["t", "--data", "0.10"]) == 0  # 0.08 + .02: between one and three tolerances
    assert "DRIFT  MPCL, kl_low: 0.10, stored 0.08 ± 0.014\n" in capsys.readouterr().out
    assert reproduce.run(["t", "--data", "0.90"]) == 1
    assert "FAIL   MPCL, kl_low: 0.90" in capsys.readouterr().out


def test_a_table_that_cannot_be_made_is_one_line(shipped, capsys):
    assert reproduce.run(["u"]) == 2
    assert capsys.readouterr().err == "error: u: is not a stored table; there are t\n"
    (shipped / "t.csv").write_text((shipped / "t.csv").read_text().replace("--seeds 2", "--seeds 3"))
    assert reproduce.run(["t"]) == 2
    words = "error: experiments.tables.fake: ended with exit status 3; its messages are above\n"
    assert capsys.readouterr().err == words

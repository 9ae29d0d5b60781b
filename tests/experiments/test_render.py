"""Tables of experiments/results as text: their forms, the overview, and the marked tables of README and docs."""

import pandas as pd
import pytest
from python_process import ROOT

from experiments.shared import measure, readme_tables, render
from mpcl_jax.types import DataError

NAMES = sorted(file.stem for file in render.RESULTS.glob("*.csv"))


@pytest.mark.parametrize("name", NAMES)
def test_every_result_can_be_rendered(name):
    cells, _ = render.rendered(name, {})
    assert len(cells) and cells.map(lambda x: isinstance(x, str)).all().all()


def test_results_are_csv_files_and_pictures():
    assert {file.suffix for file in render.RESULTS.iterdir()} == {".csv", ".png"}


def test_a_main_table_has_leading_zeros_brackets_and_bold_best_values(capsys):
    render.main(["wesad_loso", "methods=ridge,extra_trees,stimulus_mean"])
    lines = [[x.strip() for x in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["method", "Chebyshev ↓", "KL ↓", "95 % interval", "cosine ↑", "skill ↑", "seeds"]
    assert lines[2][:4] == ["ridge", "0.0349", "0.0629", "[0.0545, 0.0807]"]
    assert lines[3][:3] == ["ExtraTrees", "**0.0345**", "**0.0623**"]
    assert lines[4][:3] == ["stimulus mean (oracle)", "0.0336", "0.0578"]


def test_a_series_has_a_line_per_case_and_latex_a_column_per_method(capsys):
    render.main(["curve_wesad", "--format", "latex", "methods=condition,MPCL"])
    text = capsys.readouterr().out
    assert r"training subjects & condition & MPCL \\" in text and r"\caption{KL $\downarrow$" in text
    assert r"9 subjects & 0.0608 [0.0520, 0.0774] & 0.0605 [0.0519, 0.0755] \\" in text


def test_a_kl_has_four_decimals_in_every_table():
    assert render.rendered("fine_tuning_music", {})[0]["kl"].iloc[2] == "0.0670"


def test_a_table_of_written_trials_shows_every_method_without_and_with_them():
    cells, caption = render.rendered("walking_sequential_memory", {})
    assert cells.iloc[-1].tolist()[:4] == ["MPCL", "0.0513", "0.0452", "−0.0061"]
    assert "with memory minus zero-shot, over 29 subjects" in caption


def test_the_overview_has_a_row_per_data_set():
    cells, caption = render.rendered("overview", {"wesad_loso": "WESAD", "smoke": "tiny"})
    row = dict(zip(cells.columns, cells.iloc[0], strict=True))
    assert row == {
        "data set": "WESAD",
        "train mean": "0.0674",
        "best classical": "0.0608 (condition)",
        "MLP": "0.0622",
        "best predecessor": "0.0658 (EmotionDict)",
        "MPCL": "0.0607",
        "95 % interval of MPCL": "[0.0521, 0.0757]",
        "n": "10 subjects",
    }
    assert cells["best predecessor"].tolist()[1] == "-"
    assert "(EmotionDict, HeLo): 5 seeds" in caption and "**" not in cells.to_string()


def test_the_overview_names_different_numbers_of_seeds(tmp_path, monkeypatch):
    shipped = pd.read_csv(render.RESULTS / "wesad_loso.csv", skiprows=1)
    for name, seeds in (("three", 3), ("five", 5)):
        text = shipped.assign(seeds=seeds).to_csv(index=False)
        (tmp_path / f"{name}.csv").write_text(f"# a command\n{text}")
    monkeypatch.setattr(render, "RESULTS", tmp_path)
    _, caption = render.rendered("overview", {"three": "one", "five": "another"})
    assert "3 seeds or 5 seeds" in caption


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("none", {}, "none.csv: does not exist"),
        ("wesad_loso", {"methods": "x"}, "has no method 'x'; there are uniform"),
        ("growth", {"columns": "x"}, "has no column 'x'; there are axis"),
        ("growth", {"colums": "x"}, "unknown option 'colums'; there are methods"),
    ],
)
def test_a_wrong_name_is_one_line(name, options, message):
    with pytest.raises(DataError, match=message):
        render.rendered(name, options)


def test_tables_of_readme_and_docs_are_those_of_the_csv_files():
    for file in readme_tables.pages():
        text = file.read_text(encoding="utf-8")
        hint = f"{file.name}: run `python -m experiments.shared.readme_tables --write`"
        assert readme_tables.generated(text) == text, hint


def test_marked_tables_are_written_and_compared(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    readme = tmp_path / "README.md"
    table = "<!-- table: growth where=axis:width columns=size,flop -->"
    readme.write_text(f"a\n\n{table}\nold\n<!-- end -->\nb\n")
    monkeypatch.setattr(readme_tables, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="--write"):
        readme_tables.main([])
    readme_tables.main(["--write"])
    text = readme.read_text()
    assert "|   64 | 0.5044 |" in text and "old" not in text and text.startswith("a\n\n<!-- table: growth ")
    assert text.endswith("\n\n<!-- end -->\nb\n")
    readme_tables.main([])  # nothing differs now
    readme.write_text(text.replace("growth", "grwth"))
    with pytest.raises(SystemExit, match="error: README.md: .*grwth.csv: does not exist"):
        readme_tables.main([])


def test_the_measurement_finds_the_loss_and_no_cycle():
    lines = measure.measure(ROOT)
    assert "folder cycles: 0" in lines
    (hops,) = [line for line in lines if line.startswith("hops from the command to the loss: ")]
    assert "; mpcl_jax.main -> " in hops and hops.endswith(" -> mpcl_jax.train.step")
    for file, _, name in (test.partition("::") for test in measure.EXTENSIONS.values()):
        assert f"def {name}(" in (ROOT / file).read_text()

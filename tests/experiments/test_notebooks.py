"""The tutorials as notebooks: they run; with `-m long`, the pages show what they print today."""

import functools
import inspect
import json
import re

import matplotlib
import numpy as np
import pytest
from python_process import ROOT
from run_fixture import SMALL_MODEL

import mpcl_jax
from experiments.shared.notebooks import TUTORIALS, code_of, notebook, printed_by, write_notebooks
from mpcl_jax.estimator.regressor import MPCLRegressor

NUMBER = re.compile(r"-?\d+\.\d*")


def words_and_numbers(text: str) -> tuple[list[str], list[float]]:
    """The text without its decimal numbers and spaces, and the numbers: their last digits depend on the machine."""
    return NUMBER.sub("", text).split(), [float(x) for x in NUMBER.findall(text)]


@pytest.mark.usefixtures("quick_programs")
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_notebook_runs_and_prints_what_its_page_shows(name, whole, tmp_path, monkeypatch):
    """Quickly with a small model, whose numbers are not those of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mpcl_jax, "evaluate", functools.partial(mpcl_jax.evaluate, workers=1))
    defaults = inspect.unwrap(MPCLRegressor.__init__).__kwdefaults__
    if not whole:
        monkeypatch.setitem(defaults, "settings", {"model.tokens": 1, **SMALL_MODEL})
    if name != "tutorial_adapt":  # the only page that uses the personal memory
        monkeypatch.setitem(defaults, "personal_memory", False)
    made = notebook((ROOT / "docs" / f"{name}.md").read_text())
    cells = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    with matplotlib.rc_context({"backend": "agg"}):
        printed = printed_by(code_of(made))
    assert (tmp_path / f"{name}.png").exists()
    assert sum(bool(cell["outputs"]) for cell in cells) >= 2
    for cell, text in zip(cells, printed, strict=True):
        for output in cell["outputs"]:
            shown, numbers = words_and_numbers("".join(output["text"]))
            words, found = words_and_numbers(text)
            assert words
            if whole:
                assert words == shown
                np.testing.assert_allclose(found, numbers, rtol=0.1, atol=0.03, err_msg=text)


def test_notebooks_are_valid_and_contain_the_whole_page(tmp_path):
    for file in write_notebooks(tmp_path):
        made, page = json.loads(file.read_text()), (ROOT / "docs" / f"{file.stem}.md").read_text()
        assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
        assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
        assert len(code_of(made)) == len(re.findall("^```(?:python|bash)$", page, re.M))
        text = "".join("".join(cell["source"]) for cell in made["cells"])
        assert "```" not in text and "{doc}" not in text and "pictures/" not in text
        assert all(heading in text for heading in re.findall("^#.*$", page, re.M))

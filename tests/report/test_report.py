"""The page of a run: its content, inert hostile names, no error in a browser."""

import dataclasses
import html
import html.parser
import json
import re
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from browser_fixture import opened_without_complaint
from finished_run import HOSTILE, write_run
from python_process import ROOT, python

from configs import dataset
from mpcl_jax.cli.report import run as run_command
from mpcl_jax.config.resolve import resolve
from mpcl_jax.config.schema import BASELINES
from mpcl_jax.data.pipeline import load
from mpcl_jax.data.splits.protocols import make_split, row_ids
from mpcl_jax.evaluation import after_training, table_text
from mpcl_jax.report import page, pictures
from mpcl_jax.report.content import audit, flagged_slots, interactive, table_rows
from mpcl_jax.report.explanation import explain, row_of
from mpcl_jax.report.page import comparison_page, run_page
from mpcl_jax.report.pictures import figures_of, methods_of
from mpcl_jax.report.plots import results
from mpcl_jax.report.plots.browser_svg import to_svg
from mpcl_jax.report.plots.results import subject_dots
from mpcl_jax.runs.read_run import read_run
from mpcl_jax.types import DataError


def test_templates_are_resources_of_the_package_wherever_it_lies(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        package.write(ROOT / "mpcl_jax" / "report" / "run.html", "mpcl_jax/report/run.html")
    inside = page._asset("run.html")
    monkeypatch.setattr(page, "ASSETS", zipfile.Path(package.filename, "mpcl_jax/report/"))
    assert page._asset("run.html") == inside


class Page(html.parser.HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run in which every name is an attack, 24 emotions, leaky, with a dead slot and a collapsed pair."""
    folder = tmp_path_factory.mktemp("report") / "run<b>&"
    write_run(folder, emotions=24, hostile=True, leaky=True, dead=True)
    page = run_page(read_run(folder))
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder, page


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "healthy"
    arrays = write_run(folder)
    (folder / "report.html").write_text(run_page(read_run(folder)), encoding="utf-8")
    return folder, arrays


@pytest.fixture
def no_pictures(monkeypatch):
    """Leaves the pictures of a page out: they take most of its time."""
    monkeypatch.setattr(pictures, "figures_of", lambda run: {})


def test_a_page_does_not_name_a_group_that_the_data_set_does_not_have(tmp_path):
    write_run(tmp_path, banks=1)
    run = read_run(tmp_path)
    assert run.similarity.shape[1] == run.inspection.recalled.shape[1] == len(run.memory.bank) == 1
    assert {x.group for x in explain(run, 0).recalled} == {"physiological"}
    assert json.loads(interactive(run))["modality_groups"] == ["physiological"]
    page = run_page(run)
    assert "behavioural" not in page and "agreement" not in page


def test_the_page_is_one_small_file_that_fetches_nothing(hostile):
    _, text = hostile
    page = Page(text)
    assert len(text.encode()) < 5e6
    assert page.tags.count("script") == 2 and "iframe" not in page.tags and "img" not in page.tags
    fetched = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action")]
    assert fetched and all(value.startswith(("#", "data:")) for value in fetched)
    policy = next(value for _, name, value in page.attributes if value and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-eval" not in policy
    assert "url(http" not in text and "@import" not in text


def test_hostile_names_are_text(hostile):
    _, text = hostile
    page = Page(text)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text and "{{7*7}}" in page.text
    assert "<script>window.hacked" not in text and 'onerror="window' not in text


def test_a_page_of_a_hundred_emotions_stays_small(tmp_path):
    write_run(tmp_path / "run", emotions=100, windows=8)
    text = run_page(read_run(tmp_path / "run"))
    assert len(text.encode()) < 2e6
    assert text.count("Only the 40 most reported of 100 emotions are drawn.</figcaption>") == 5


def test_names_of_every_script_are_text_of_the_browser_with_room_for_it():
    # The last is like a colour that the page replaces. DejaVu Sans has no Chinese, Japanese, Korean, Hindi.
    names = ["平静的心情很平静", "たのしい", "행복하다", "प्रसन्नता", "سعادة", "😀", "<b>&", "#0072b2"]
    shares = np.full(len(names), 1 / len(names))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's, of glyphs that its font lacks
        svg = to_svg(results.distribution_bars({"one": (shares, shares)}, names, ["a"] * 8))
    texts = re.findall(r'<text [^>]*x="([\d.]+)"[^>]*>([^<]*)</text>', svg)
    found = {html.unescape(text): float(x) for x, text in texts}
    assert set(names) <= set(found)
    assert found[names[0]] >= 8 * len(names[0])  # labels end at x; an ideograph is 8 points wide
    assert "var(--picture)" in svg and "DejaVu" not in svg


def test_an_oracle_is_marked_and_is_never_the_best(healthy):
    run = read_run(healthy[0])
    oracle = run.table[-1] | {"method": "stimulus_mean", "kl": "0.0001"}
    with_oracle = dataclasses.replace(run, table=(*run.table, oracle), subjects=run.subjects)
    rows = {row["key"]: row for row in table_rows(with_oracle)}
    assert {key for key, row in rows.items() if ("0.0001", True) in row["cells"].values()} == set()
    assert rows["MPCL"]["cells"]["KL ↓"][1]
    assert [key for key, row in rows.items() if row["oracle"]] == ["stimulus_mean"]
    drawn = subject_dots({"": methods_of(with_oracle)})
    labels = [x.get_text() for x in drawn.axes[0].get_yticklabels()]
    assert labels == ["uniform", "train mean", "MPCL", "stimulus mean (oracle)"]
    solid, dashed = drawn.axes[0].collections[-2:]  # the intervals of MPCL and of the oracle
    assert solid.get_linestyle() == [(0, None)] and dashed.get_linestyle() != [(0, None)]
    page = run_page(with_oracle)
    assert "An oracle: it receives the true stimulus" in page and "without oracles" in page
    assert "A dot is the mean KL of one subject (n = 6 subjects)" in page


def test_the_page_repeats_the_caption_of_the_table(healthy, tmp_path):
    folder = shutil.copytree(healthy[0], tmp_path / "run")
    table = folder / "table.md"
    table.write_text(table.read_text() + "\nYes: p below .05, corrected by Holm.\n\n*note*\n\n`command`\n")
    caption = read_run(folder).caption
    assert "Split abc. " in caption and table_text.RULE in caption
    assert caption.endswith("Yes: p below .05, corrected by Holm.")


def test_the_page_names_leaks_and_unhealthy_slots(hostile):
    folder, text = hostile
    assert "LEAKY" in Page(text).text
    found = flagged_slots(read_run(folder))
    assert (found["dead"], found["collapsed"]) == (1, 2)
    assert "1 dead" in Page(text).text and "2 collapsed" in Page(text).text
    worst, *others = audit(read_run(folder))
    assert (worst["check"], worst["colour"], worst["ids"][0]) == ("groups", "red", f"P0{HOSTILE}/clip@0.000")
    assert {x["colour"] for x in others} == {"green"}
    assert f"groupsred: trials{HOSTILE} P0{HOSTILE}/clip@0.000, P0" in Page(text).text


def test_a_healthy_run_has_nothing_flagged(healthy):
    run = read_run(healthy[0])
    found = flagged_slots(run)
    assert (found["dead"], found["collapsed"]) == (0, 0) and not any(slot.flag for slot in found["slots"])
    assert {check["colour"] for check in audit(run)} == {"green"}
    text = Page((healthy[0] / "report.html").read_text()).text
    assert "LEAKY" not in text and "Never reported" not in text and run.verdict[0] in text


def test_a_red_audit_is_at_the_top_and_a_missing_one_is_named(healthy, no_pictures):
    run = read_run(healthy[0])
    assert "LEAK" not in Page(run_page(run)).text
    text = Page(run_page(dataclasses.replace(run, audit=run.audit | {"colour": "red"}))).text
    assert "LEAK The leak audit of this run is red" in text[: text.index("Results")]
    assert "not audited yet: mpcl audit" in Page(run_page(dataclasses.replace(run, audit={}))).text


def test_an_emotion_that_was_never_reported_is_named(healthy, no_pictures):
    run = read_run(healthy[0])
    mass = run.memory.mass.copy()
    mass[:, 2] = 0
    unseen = dataclasses.replace(run, memory=run.memory._replace(mass=mass))
    found = flagged_slots(unseen)
    assert (found["dead"], found["collapsed"], found["never"]) == (0, 0, ["emotion 2"])
    assert "Never reported in training, and therefore without prototypes: emotion 2" in run_page(unseen)


TERMS = """KL; skill; train mean; [low, high]; corrected p; n; Chebyshev; Clark; Canberra; cosine; intersection
share; window; co-occurrence; lift; valence group; evidence; prototype; slot; mass; usage; dead; collapsed; agreement
uniform; MPCL; scale; contribution; fold; epoch; total loss; drift; protocol; manifest; leak audit"""


def test_every_term_is_explained_once_and_every_figure_has_a_caption(healthy):
    run, text = read_run(healthy[0]), (healthy[0] / "report.html").read_text()
    explained = [html.unescape(x) for x in re.findall("<dfn>(.*?)</dfn>", text)]
    assert set(re.split("; |\n", TERMS)) <= set(explained) and len(explained) == len(set(explained))
    captions = dict(re.findall('<figure id="figure-(.*?)".*?<figcaption[^>]*>(.*?)</figcaption>', text, re.S))
    assert set(captions) == set(figures_of(run)) and all(x.strip().endswith(".") for x in captions.values())


def test_every_baseline_has_an_explanation():
    templates = page._asset("terms.html")
    missing = [name for name in BASELINES if f'"{name}": ' not in templates]
    assert missing == ["train_mean"]  # explained with the statistics


def test_every_heat_map_has_a_labelled_colour_bar(healthy):
    for name in ("cooccurrence", "association", "history"):
        axes = figures_of(read_run(healthy[0]))[name].axes
        labels = [axis.get_xlabel() for axis in axes if axis.get_label() == "<colorbar>"]
        assert len(labels) == 1 and labels[0], name


def test_the_script_receives_the_predictions_of_the_run(healthy):
    folder, (reported, predicted) = healthy
    data = json.loads(interactive(read_run(folder)))
    assert data["total"] == len(data["samples"]) == 24
    np.testing.assert_allclose([s["reported"] for s in data["samples"]], reported, atol=6e-4)
    np.testing.assert_allclose([s["predicted"] for s in data["samples"]], predicted, atol=6e-4)
    assert "<" not in interactive(read_run(folder))


def test_a_sample_is_explained(healthy):
    folder, (reported, predicted) = healthy
    run = read_run(folder)
    found = explain(run, row_of(run, "P0/clip@10.000"))
    y, p = reported[1], predicted[1]
    assert found.kl == pytest.approx(float((y * np.log(y / p)).sum()), rel=1e-4)
    assert [x.name for x in found.modalities] == ["eeg", "video"]
    # Without eeg the prediction stays as it is; without video it is uniform, here worse.
    assert found.modalities[0].gain == pytest.approx(0, abs=1e-6)
    assert found.modalities[1].gain == pytest.approx(float((y * np.log(y * 3)).sum()) - found.kl, abs=1e-4)
    heaviest = run.inspection.recalled[1].max()
    assert found.recalled[0].weight == pytest.approx(heaviest)
    with pytest.raises(KeyError, match="no test window 'P0/clip@11'; there are P0/clip@0.000"):
        row_of(run, "P0/clip@11")
    with pytest.raises(KeyError, match="there are P5/clip@30.000, .* predictions.csv has all 24 windows"):
        row_of(run, "P7/clip@30.000")


def test_samples_in_readme_and_docs_are_windows_that_the_default_run_tests():
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    samples = {x for file in files for x in re.findall(r'explain \S+ --sample "([^"]*)"', file.read_text())}
    config = resolve(dataset.get_config())
    recordings = load(config.data)
    ids, folds = row_ids(recordings), make_split(recordings, config.protocol).folds
    assert samples and samples <= {ids[row] for fold in folds for row in fold.test}


WITHOUT_JAX = """
import json, sys
sys.modules["jax"] = None  # importing it is an error from here on
from mpcl_jax.cli.__main__ import run
assert not any(run(arguments) for arguments in json.loads(sys.argv[1]))
"""


def test_the_commands_work_with_jax_hidden(healthy, tmp_path):
    folder, file = str(healthy[0]), tmp_path / "two.html"
    explain = ["explain", folder, "--sample", "P0/clip@10.000"]
    commands = [explain, ["report", folder, folder, "--output", str(file)]]
    ended = python("-c", WITHOUT_JAX, json.dumps(commands))
    assert "fold 1 of 1 (--fold 0 of mpcl predict and mpcl inspect)" in ended.stdout
    assert "retrieved prototypes" in ended.stdout and ended.stdout.endswith(f"{file}\n")
    assert "All runs were tested on the same split." in Page(file.read_text()).text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "nowhere: is no folder; give the folder of a run or of a saved model"),
        (
            ["gs://b/run"],
            "gs://b/run: is a URL; give a path of this machine, e.g. where the bucket is mounted",
        ),
        (
            ["healthy", "--output", "gone/x.html"],
            "--output gone/x.html: there is no folder gone; make it first",
        ),
    ],
)
def test_a_page_that_cannot_be_drawn_is_one_line(healthy, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(healthy[0].parent)
    assert run_command(arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_run_without_memory_and_an_unfinished_one(tmp_path, no_pictures):
    write_run(tmp_path / "none", memory=False)
    run = read_run(tmp_path / "none")
    assert "This run has no memory" in run_page(run)
    (tmp_path / "none" / "table.csv").unlink()
    with pytest.raises(DataError, match="table.csv: does not exist"):
        read_run(tmp_path / "none")


def test_the_comparison_of_runs_names_leaks_and_different_splits(healthy, hostile):
    run, leaky = read_run(healthy[0]), read_run(hostile[0])
    text = Page(comparison_page([run, leaky])).text
    assert "LEAKY" in text and "All runs were tested on the same split." in text
    assert "Settings that differ" in text and "Clark: square root of" in text
    other = dataclasses.replace(run, split=run.split | {"sha256": "other"})
    assert "The runs have 2 different splits." in Page(comparison_page([run, other])).text


def test_a_report_that_fails_costs_the_run_nothing(tmp_path, capsys):
    after_training.draw_report(tmp_path)
    printed = capsys.readouterr().out
    assert printed.startswith("no report (error: ") and "the results are written" in printed


def test_a_browser_shows_the_page_and_the_chosen_window(hostile, browser):
    folder, _ = hostile
    assert opened_without_complaint(browser, folder / "report.html")
    assert browser.execute_script("return window.hacked") is None
    kl = browser.find_element("id", "kl")
    first = kl.text
    assert re.fullmatch(r"KL \d\.\d{4}", first)
    choice = browser.find_elements("css selector", "#subject option")
    assert [option.text for option in choice][1] == " ".join(f"P1{HOSTILE}".split())
    choice[1].click()
    assert kl.text != first
    assert len(browser.find_elements("css selector", "#map rect")) == 24 * 24
    assert len(browser.find_elements("css selector", "#bars .bar")) == 24
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [1280, 390, 360])
def test_nothing_is_wider_than_the_page(hostile, browser, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get((hostile[0] / "report.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Wider content scrolls in its own box, which shows a shadow and can be focused.
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(x => x.scrollWidth > x.clientWidth + 1 && "
        "getComputedStyle(x).overflowX === 'auto').map(x => [x.tabIndex, x.ariaLabel, "
        "getComputedStyle(x).backgroundImage.split('gradient').length])"
    )
    assert wide or width > 500
    assert all(focus == 0 and label and layers == 5 for focus, label, layers in wide)


def test_the_page_fits_on_paper(healthy, browser):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    metrics = {"width": 718, "height": 900, "deviceScaleFactor": 1, "mobile": False}  # A4
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get((healthy[0] / "report.html").as_uri())
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert wide <= 718

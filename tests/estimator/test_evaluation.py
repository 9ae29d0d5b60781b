"""`evaluate`: the numbers of the command, objects of users as rows, clear errors, a cache that survives Ctrl-C."""

import os
import pathlib
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from browser_fixture import opened_without_complaint
from run_fixture import SMALL_MODEL, WithConfig, tiny_config
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mpcl_jax.baselines import registry
from mpcl_jax.config.data import PROTOCOLS, ProtocolConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data import registry as datasets
from mpcl_jax.data.pipeline import content_hash, load
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.estimator import evaluation
from mpcl_jax.estimator.evaluation import evaluate
from mpcl_jax.estimator.methods import methods_of
from mpcl_jax.estimator.regressor import MPCLRegressor
from mpcl_jax.estimator.stored_recordings import load_stored, store
from mpcl_jax.estimator.user_objects import fresh_copy
from mpcl_jax.evaluation.experiment import run_experiment
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.types import DataError, spec_of

pytestmark = pytest.mark.usefixtures("quick_programs")
BASELINES = ("train_mean", "ridge", "extra_trees")
CONFIG = tiny_config(protocol__only=(0,), log__report=False, benchmark__baselines=BASELINES, **SMALL_MODEL)
ARGUMENTS = {"folds": 3, "only": (0,), "validation": 0.2}  # of CONFIG.protocol


class Uniform:
    """An estimator without parameters, which sends Ctrl-C to its parent process when `file` is not there."""

    def __init__(self, file=None):
        self.file = file

    def fit(self, x, y):
        self.emotions = y.shape[1]
        if self.file and not self.file.exists():
            self.file.write_text("")
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(60)

    def predict(self, x):
        return np.ones((len(x), self.emotions))


class Failing(Uniform):
    """Cannot predict several outputs."""

    def fit(self, x, y):
        raise ValueError("y must be\none column")


@pytest.fixture(scope="module")
def data():
    return load(CONFIG.data)


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """The folder of a run of the command, the cache, and the table of the same methods and an object."""
    folder = tmp_path_factory.mktemp("evaluation")
    run_experiment(CONFIG, folder / "run", "a command", StopRequest())
    methods = [WithConfig(CONFIG), *BASELINES, Ridge(30.0)]
    jax.config.update("jax_enable_x64", True)  # of a notebook: not used, and not changed
    try:
        table = evaluate(methods, data, **ARGUMENTS, workers=1, cache=folder / "cache")
        assert jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", False)
    return folder / "run", folder / "cache", table


def test_every_digit_is_that_of_the_command(compared, data, capsys):
    run, cache, _ = compared
    table = evaluate([WithConfig(CONFIG), *BASELINES], data, **ARGUMENTS, workers=1, cache=cache)
    assert "4 jobs, 4 of them finished before" in capsys.readouterr().out
    columns = (run / "table.csv").read_text().splitlines()[1].split(",")
    found = {
        "table.csv": table.to_frame()[columns].astype(object),
        "subjects.csv": table.subjects(),
        "statistics.csv": table.statistics(),
        "pairs.csv": table.pairs(),
        "predictions.csv": table.predictions("MPCL").drop(columns=["method", "seed"]),
    }
    for name, frame in found.items():
        lines = (run / name).read_text().splitlines(keepends=True)
        lines = lines if name == "predictions.csv" else lines[1:]  # the first one is a comment
        assert frame.to_csv(index=False, na_rep="nan", lineterminator="\n") == "".join(lines), name
    assert repr(table).splitlines()[0] == (run / "table.md").read_text().splitlines()[0]
    assert all(line in repr(table) for line in (run / "table.md").read_text().splitlines() if "|" in line)


def test_an_object_is_a_row_like_a_baseline(compared, capsys):
    _, _, table = compared
    frame = table.to_frame().set_index("method")
    assert list(frame.index) == [*BASELINES, "Ridge", "MPCL"]
    assert 0 < frame.loc["Ridge", "kl"] < 1 and frame.loc["Ridge", "kl"] != frame.loc["ridge", "kl"]
    assert table.to_frame().attrs["compared_with"] == "MPCL" and frame.loc["MPCL", "verdict"] == ""
    assert "24 windows" in table.to_frame().attrs["caption"]
    assert "Ridge" not in registry.names()  # it was a row of this table only


def test_the_page_shows_table_statistics_and_errors(compared, tmp_path, browser):
    _, _, table = compared
    page = table.report(tmp_path / "page.html").read_text()
    row = table.to_frame().set_index("method").loc["Ridge"]
    assert f"{row['kl']:.4f}" in page and table.split.sha256[:12] in page
    assert page.count("<figure") == 4 and "Windows with the highest KL" in page
    assert f"{row['kl']:.4f}" in table._repr_html_()
    assert opened_without_complaint(browser, tmp_path / "page.html")


def test_a_leaky_protocol_is_labelled_everywhere(data, tmp_path, capsys):
    table = evaluate("uniform", data, "window80", verbose=False)
    assert capsys.readouterr().out == ""
    assert table.leaky and table.to_frame().attrs["leaky"] and set(table.to_frame()["split"]) == {"LEAKY"}
    page = table.report(tmp_path / "page.html").read_text()
    assert all("LEAKY" in text for text in (repr(table), table._repr_html_(), page))


@pytest.mark.parametrize("protocol", [kind for kind in PROTOCOLS if kind != "fixed_48_12_13"])
def test_every_protocol_holds_out_what_the_command_holds_out(data, protocol):
    table = evaluate("uniform", data, protocol, folds=2, only=(0,), seed=3)
    settings = ProtocolConfig(kind=protocol, folds=2, only=(0,), seed=3)
    assert table.split.sha256 == make_split(data, settings).sha256


def test_seeds_are_averaged_and_the_manifest_gives_the_same_folds(data, tmp_path):
    trees = {"trees": ExtraTreesRegressor(3)}
    table = evaluate(trees, data, "loso", only=[1, 0], seeds=2)
    row = table.to_frame().set_index("method").loc["trees"]
    assert row["seeds"] == 2 and row["kl_seed_sd"] > 0
    assert set(table.predictions()["method"]) == {"train_mean", "trees"}
    table.save_manifest(tmp_path / "split.json")
    again = evaluate(trees, data, manifest=tmp_path / "split.json", seeds=2)
    assert again.split.sha256 == table.split.sha256
    assert again.predictions("trees").equals(table.predictions("trees"))
    assert "averaged over 2 training seeds" in table.report(tmp_path / "page.html").read_text()


def test_a_failing_object_is_named_in_one_line_and_other_jobs_are_kept(data, capsys):
    with pytest.raises(TrainingError, match="Failing .*ValueError: y must be one column") as caught:
        evaluate([Failing(), "ridge"], data, **ARGUMENTS)
    assert "\n" not in str(caught.value)
    cache = capsys.readouterr().err.split("cache='")[1].split("'")[0]
    evaluate("ridge", data, **ARGUMENTS, cache=cache)
    shutil.rmtree(cache)
    assert "2 jobs, 2 of them finished before" in capsys.readouterr().out


def test_ctrl_c_leaves_a_cache_with_which_the_same_call_goes_on(data, tmp_path, capsys):
    handler = signal.getsignal(signal.SIGINT)
    call = {"estimators": Uniform(tmp_path / "sent"), "data": data, "cache": tmp_path / "cache", "workers": 2}
    with pytest.raises(KeyboardInterrupt):
        evaluate(**call, **ARGUMENTS)
    assert signal.getsignal(signal.SIGINT) is handler
    table = evaluate(**call, **ARGUMENTS)
    assert "2 jobs, 1 of them finished before" in capsys.readouterr().out
    assert set(table.shares) == {"train_mean", "Uniform"}
    assert not list((tmp_path / "cache").glob(".data-*"))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"estimators": "rigde"}, "estimators: 'rigde' is no baseline; did you mean 'ridge'?"),
        ({"estimators": (x for x in "ab")}, "estimators: <generator .* is no estimator; wanted the name"),
        ({"estimators": [lambda x: x]}, "estimators: <function .* is no estimator"),
        ({"estimators": [Ridge]}, r"estimators: Ridge is a class; pass an object: Ridge\(\)"),
        ({"estimators": []}, "estimators: nothing to compare with the train mean"),
        ({"estimators": {"ridge": Ridge()}}, "'ridge' cannot be the name of this object"),
        ({"estimators": {"MPCL": "ridge"}}, "'ridge' cannot be renamed to 'MPCL'"),
        ({"estimators": [Uniform(x for x in "ab")]}, "Uniform cannot be copied to a worker .*generator"),
        ({"protocol": "losso"}, "^protocol = 'losso': must be"),
        ({"folds": 9}, "^folds = 9: needs at least 9 subjects, the recordings have 5 subjects"),
        ({"seeds": 0}, "^seeds = 0: must be an integer >= 1"),
        ({"seeds": True}, "^seeds = True: must be an integer >= 1"),
        ({"only": 1}, "^only = 1: must be a list of numbers of folds"),
        ({"manifest": 3}, "^manifest = 3: must be the path"),
        ({"cache": pathlib.Path(__file__)}, "^cache = '.*test_evaluation.py': is a file"),
        ({"cache": 3}, "^cache = 3: must be the path of a folder"),
        ({"workers": -1}, "^workers = -1: must be an integer >= 0"),
        ({"protocol": "fixed_48_12_13"}, "^protocol = 'fixed_48_12_13': made for the 73 subjects of DMER"),
        ({"protocol": "calibrated", "calibration": 9}, "^calibration = 9: must be <= calibration_pool = 3"),
        (
            {"estimators": WithConfig(CONFIG), "validation": 0.0},
            "^MPCL: its epoch is selected on validation rows; set validation of evaluate",
        ),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(data, wrong, message):
    with pytest.raises(ConfigError, match=message) as caught:
        evaluate(**{"estimators": "ridge", "data": data} | wrong)
    assert "\n" not in str(caught.value)


def test_data_are_checked_as_on_the_command_line(data):
    copied = {m: x.copy() for m, x in data.signals.items()}
    for x in copied.values():
        x[data.subject == "P02"] = x[data.subject == "P01"]
    with pytest.raises(DataError, match="^simulated: subjects P01 and P02 have the same signals"):
        evaluate("ridge", data._replace(signals=copied))
    with pytest.raises(DataError, match="^data: is ndarray; make recordings of it with from_arrays"):
        evaluate("ridge", data.labels)


def test_recordings_are_the_same_in_every_process(data, tmp_path):
    odd = data._replace(of_stimulus=("video",), published_test=np.arange(60) < 5, start=np.full(60, np.nan))
    odd = odd._replace(protocols=("loso",), duration=float("nan"), subject=odd.subject.astype(object))
    with datasets.temporarily():
        read = load_stored(store(odd, tmp_path / "recordings.joblib"))
        again = load(store(data, tmp_path / "again.joblib"))
    assert content_hash(read) == content_hash(odd) and spec_of(read) == spec_of(odd)
    assert read.of_stimulus == ("video",) and read.protocols == ("loso",) and read.published_test.sum() == 5
    assert np.isnan(read.start).all() and np.isnan(read.duration) and list(read.signals) == list(odd.signals)
    assert again.notes == data.notes  # none twice


def test_jobs_do_not_depend_on_the_working_directory_of_a_worker(data, tmp_path, monkeypatch):
    folders, uniform = [], [np.full((60, 10), 0.1)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation, "complete", lambda rows, folder, *_, **__: folders.append(folder))
    monkeypatch.setattr(evaluation, "predictions_of", lambda row, _: dict.fromkeys(row.names, uniform))
    evaluate("ridge", data, cache="jobs")
    assert folders == [tmp_path / "jobs"]


def test_a_regressor_is_trained_with_its_settings_on_its_own_data(data, monkeypatch):
    rows = []
    monkeypatch.setattr(evaluation, "complete", lambda given, *_, **__: rows.extend(given))
    uniform = [np.full((60, 10), 0.1)]
    monkeypatch.setattr(evaluation, "predictions_of", lambda row, _: dict.fromkeys(row.names, uniform))
    model = MPCLRegressor(width=24, per_subject_standardise=True, seed=5)
    table = evaluate([model, "mpcl"], data)
    _, own, usual = rows
    assert own.name == "MPCL" and own.config.model.width == 24 and own.config.train == model.to_config().train
    assert usual.name == "MPCL_2" and usual.config.model == MPCLRegressor().to_config().model
    assert own.table_data.sha256 != usual.table_data.sha256 == rows[0].table_data.sha256
    assert own.table_data.split.sha256 == table.split.sha256
    assert "\nnote   MPCL: The features of each subject were standardised" in repr(table)
    assert "MPCL_2:" not in repr(table)


def test_parameters_of_a_regressor_without_effect_are_named(capsys):
    methods_of([MPCLRegressor(), MPCLRegressor(seed=5, n_seeds=2)])
    assert capsys.readouterr().out == (
        "note   MPCL_2: seed = 5, n_seeds = 2 not used here; set seeds and validation of evaluate\n"
    )


def test_objects_get_names_and_seeds():
    with registry.temporarily():
        models, others = methods_of([WithConfig(1), "mpcl", Ridge(), Ridge(2.0), "ridge"])
        grids = [registry.get(name).grid for name in ("Ridge", "Ridge_2")]
    assert list(models) == ["MPCL", "MPCL_2"] and models["MPCL"] == 1
    assert others == ("train_mean", "ridge", "Ridge", "Ridge_2")
    assert grids[0] != grids[1]  # the content of an object is part of the key of its jobs
    made = make_pipeline(FunctionTransformer(lambda x: x), ExtraTreesRegressor(random_state=5))
    assert fresh_copy(made, 3).get_params()["extratreesregressor__random_state"] == 3
    assert made[-1].random_state == 5

"""The experiments as commands, on one fold of the tiny data set; they share their jobs."""

import contextlib
import csv
import io
import json
import pathlib
import re
import runpy
import sys

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from python_process import QUICK, ROOT
from table_fixture import config_file, words_of

from experiments.shared import table_command
from experiments.tables import ablation, averaged, method_study, missing_modality, sensitivity
from mpcl_jax.config.data import SimulateConfig
from mpcl_jax.config.resolve import ConfigError, default, resolve
from mpcl_jax.data.simulate import simulate
from mpcl_jax.evaluate.jobs.keys import load_table_data

ONE_FOLD = (
    *("--seeds=1", "--workers=1", "--config.benchmark.baselines=train_mean,knn"),
    "--config.protocol.only=(0,)",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def config(folder):
    return config_file(folder)


@pytest.fixture(scope="module", autouse=True)
def workers():
    """New ones, which compile quickly: those of other tests have another environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        get_reusable_executor().shutdown()
        yield
        get_reusable_executor().shutdown()


def made(experiment: str, config: pathlib.Path, folder: pathlib.Path, *words: str) -> str:
    """What the finished command printed, called in this process; its workers go on with the next command."""
    _, module, *argv = words_of(experiment, config, folder, *words)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [module, *argv])
        patch.delitem(sys.modules, module, raising=False)
        runpy.run_module(module, run_name="__main__")
    return printed.getvalue()


@pytest.mark.parametrize(("words", "folds"), [((), ()), (("--config.protocol.only=(1,)",), (1,))])
def test_a_table_tests_every_fold_also_of_a_config_that_runs_one(tmp_path, monkeypatch, words, folds):
    typed = ["tables", "--config", str(config_file(tmp_path, protocol__only=(0,))), *words]
    monkeypatch.setattr(sys, "argv", ["main_table.py", *typed])
    parsed, overrides = table_command.options("", 5, ()).parse_known_args(typed)
    args = table_command._options("experiments.tables.main_table", parsed, overrides, ())
    assert args.config.protocol.only == folds


def results(folder: pathlib.Path, name: str) -> list[dict[str, str]]:
    """The rows of a finished experiment; it wrote only CSV and PNG, which name command, commit and machine."""
    place = folder / "results"
    second = "_pairs" if name == "ablation" else "_differences"
    for ending in (".csv", ".png", f"{second}.csv"):
        assert (place / f"{name}{ending}").stat().st_size > 200, ending
    assert {file.suffix for file in place.iterdir()} == {".csv", ".png"}
    with (place / f"{name}.csv").open() as file:
        assert re.match(
            rf"# python -m experiments\.tables\.{name} {name} .* @ .* @ \d+ x .*, jax ", file.readline()
        )
        return list(csv.DictReader(file))


def test_ablation_and_sensitivity_share_the_full_model(folder, config):
    printed = made("ablation", config, folder, *ONE_FOLD, "--rows=no direct path")
    assert [row["method"] for row in results(folder, "ablation")] == ["train_mean", "MPCL", "no direct path"]
    verdict = "(better|worse|not significant)"
    assert re.search(rf"- no direct path against MPCL: {verdict} \(KL [+−]?0\.\d", printed)
    printed = made("sensitivity", config, folder, *ONE_FOLD, "--rows=loss.prototype = 1")
    rows = results(folder, "sensitivity")
    assert [row["method"] for row in rows] == ["train_mean", "MPCL", "loss.prototype = 1"]
    assert re.search(r"^3 \w+, 2 ", printed, re.M)  # jobs, of which two were finished before


def trained_rows(folder: pathlib.Path) -> list[list[set[str]]]:
    """The training rows of every fold of every manifest of an experiment."""
    manifests = [json.loads(file.read_text()) for file in (folder / "jobs" / "manifests").iterdir()]
    return [
        [set(manifest["rows"]) - {*fold["test"], *fold["unused"]} for fold in manifest["folds"]]
        for manifest in manifests
    ]


def test_learning_curve_keeps_the_test_rows_and_draws_nested_subjects(folder):
    all_train = config_file(folder / "more", protocol__validation=0.0)
    printed = made("learning_curve", all_train, folder, *ONE_FOLD)
    rows = results(folder, "learning_curve")
    sizes = [row["training subjects"] for row in rows if row["method"] == "MPCL"]
    assert sizes == ["1 subject", "2 subjects", "3 subjects"]
    assert {row["method"] for row in rows} == {"train_mean", "knn", "MPCL", "MPCL without memory"}
    assert "- 3 subjects: MPCL without memory against MPCL: " in printed
    assert len({row["split_sha256"] for row in rows}) == 1  # the same test rows in every line
    assert "- 3 subjects: MPCL against train mean: " in printed
    trained = trained_rows(folder)
    # Also of the folds that are not run: the longest training part determines the batches of an epoch.
    assert all(len({len(subjects_of(of_fold)) for of_fold in folds}) == 1 for folds in trained)
    small, middle, large = sorted((folds[0] for folds in trained), key=len)
    assert small < middle < large


@pytest.mark.long
def test_learning_curve_counts_the_labelled_trials_of_each_subject(folder):
    all_train = config_file(folder / "trials", protocol__validation=0.0)
    made("learning_curve", all_train, folder / "trials", *ONE_FOLD, "--of=trials")
    rows = results(folder / "trials", "learning_curve")
    sizes = [row["training trials a subject"] for row in rows if row["method"] == "MPCL"]
    assert sizes[:2] == ["1 trial a subject", "2 trials a subject"]
    assert len({row["split_sha256"] for row in rows}) == 1
    of_size = {}
    for trained, *_ in trained_rows(folder / "trials"):
        trials = {name.split("@")[0] for name in trained}
        (count,) = {sum(trial.startswith(f"{name}/") for trial in trials) for name in subjects_of(trials)}
        of_size[count] = trained, subjects_of(trials)
    assert set(of_size) == {int(size.split()[0]) for size in sizes}
    assert of_size[1][0] < of_size[2][0] and of_size[1][1] == of_size[2][1]


@pytest.mark.long
def test_the_study_tests_the_subjects_of_the_next_fold(folder):
    all_train = config_file(folder / "study", protocol__validation=0.0)
    rows = "--rows=strong prototype loss,one prototype"
    printed = made(
        "method_study", all_train, folder / "study", *ONE_FOLD, "--config.protocol.only=(0, 1)", rows
    )
    methods = [row["method"] for row in results(folder / "study", "method_study")]
    assert methods == ["train_mean", "MPCL", "strong prototype loss", "one prototype"]
    found = r"(as predicted|not significant|refuted: (better|worse))"
    assert re.search(rf"\| one prototype +\|.*\| worse +\| {found} +\|", printed)
    (manifest,) = (folder / "study" / "jobs" / "manifests").iterdir()
    folds = json.loads(manifest.read_text())["folds"]
    of_tables = subjects_of_tables(all_train)
    # All folds, also the one that is not run: the longest training part determines the batches of an epoch.
    for number, fold in enumerate(folds):
        assert subjects_of(fold["test"]) == of_tables[(number + 1) % len(folds)]
        assert of_tables[number] <= subjects_of(fold["unused"])


def subjects_of(names: list[str]) -> set[str]:
    """ "P01/clip01@0.000" -> "P01"."""
    return {name.split("/")[0] for name in names}


def subjects_of_tables(file: pathlib.Path) -> list[set[str]]:
    """The test subjects of each fold of a config."""
    settings = runpy.run_path(str(file))["get_config"]()
    settings.protocol.only = ()
    table_data = load_table_data(resolve(settings))
    return [set(table_data.recordings.subject[fold.test]) for fold in table_data.split.folds]


@pytest.mark.parametrize(
    "predicted, verdict, judgement",
    [
        ("worse", "worse", "as predicted"),
        ("worse", "better", "refuted: better"),
        ("better", "not significant", "not significant"),
        ("no difference", "not significant", "as predicted"),
        ("no difference", "worse", "refuted: worse"),
    ],
)
def test_a_verdict_is_compared_with_the_predicted_effect(predicted, verdict, judgement):
    assert method_study.judged(predicted, verdict) == judgement


def test_the_study_needs_a_second_fold(tmp_path):
    config = resolve(runpy.run_path(str(config_file(tmp_path, protocol__kind="window80")))["get_config"]())
    with pytest.raises(ConfigError, match="'window80' has one fold"):
        method_study.without_tested(config, load_table_data(config), tmp_path)


@pytest.mark.long
def test_missing_modality_tries_every_subset(folder, config):
    printed = made(
        "missing_modality", config, folder, *ONE_FOLD, "--config.benchmark.baselines=train_mean,ridge"
    )
    rows = results(folder, "missing_modality")
    left = list(dict.fromkeys(row["left"] for row in rows))
    names = set(left[0].removesuffix(" (all)").split(" + "))
    assert len(left) == 2 ** len(names) - 1
    assert any("(physiological)" in name for name in left) and any("(behavioural)" in name for name in left)
    assert {row["method"] for row in rows} == {"train_mean", "ridge", "MPCL", *missing_modality.WITHOUT}
    # The train mean does not use signals; the others do.
    values = [{row["kl"] for row in rows if row["method"] == x} for x in ("train_mean", "ridge", "MPCL")]
    assert len(values[0]) == 1 and len(values[1]) > 1 and len(values[2]) > 1
    for name in missing_modality.WITHOUT:
        assert f"(behavioural): {name} against MPCL: " in printed


def test_averaging_shares_the_jobs_of_the_main_table_and_treats_all_methods_alike(folder, config):
    two = (*ONE_FOLD, "--seeds=2")
    made("main_table", config, folder, *two, "--baseline-seeds=2")
    printed = made("averaged", config, folder, *two)
    assert re.search(r"^6 \w+, 6 ", printed, re.M)  # jobs, all finished before
    kl = {(row["averaged over"], row["method"]): float(row["kl"]) for row in results(folder, "averaged")}
    cases = {averaged.ONE, averaged.SEEDS, averaged.SO_FAR, averaged.TRIAL, averaged.BOTH}
    assert {case for case, _ in kl} == cases
    assert len({kl[case, "train_mean"] for case, _ in kl}) == 1
    # Jensen: KL(y ‖ ·) of a mean of distributions is at most the mean of their KL, for every window.
    assert kl[averaged.TRIAL, "knn"] <= kl[averaged.ONE, "knn"] + 1e-6
    assert kl[averaged.BOTH, "MPCL"] < kl[averaged.TRIAL, "MPCL"] < kl[averaged.ONE, "MPCL"]
    assert kl[averaged.SEEDS, "MPCL"] < kl[averaged.ONE, "MPCL"]
    assert re.search(r"- the whole trial: MPCL against one window, one seed: .* \(KL −", printed)
    assert "- the whole trial: kNN against MPCL: " in printed


def test_windows_are_averaged_within_their_trial_and_fold_in_the_order_of_time():
    fold, trial = np.array([0, 0, 0, 0, 1]), np.array(["a", "b", "a", "a", "a"])
    start = np.array([60.0, 0.0, 0.0, 30.0, 0.0])
    groups = list(averaged.in_time(fold, trial, start))
    assert [rows.tolist() for rows in groups] == [[2, 3, 0], [1], [4]]
    shares = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8], [1.0, 0.0]])
    # Trial "a" in time: .1, .2, .9; means of the first one, two and three: .1, .15, .4.
    so_far = averaged.over(shares, groups, averaged.so_far)
    np.testing.assert_allclose(so_far[:, 0], [0.4, 0.5, 0.1, 0.15, 1.0])
    np.testing.assert_allclose(averaged.over(shares, groups, averaged.whole)[:, 0], [0.4, 0.5, 0.4, 0.4, 1.0])


def test_groups_of_equal_labels_are_no_trials():
    recordings, _ = simulate(SimulateConfig(subjects=2, clips=2, windows=2, emotions=3))
    assert averaged.has_trials(recordings)
    assert not averaged.has_trials(recordings._replace(trial_name="label groups"))
    assert not averaged.has_trials(recordings._replace(start=np.full(len(recordings.labels), np.nan)))


def test_every_switch_of_the_method_has_a_row():
    text = (ROOT / "docs" / "method.md").read_text().split("## Switches")[1].split("##")[0]
    switches = {setting for line in text.splitlines() for setting in re.findall(r"`([a-z_.]+)=", line)}
    assert {key for settings in ablation.SWITCHES.values() for key in settings} == switches


@pytest.mark.parametrize("name", ["dataset", "wesad", "dmer_groups"])
def test_every_change_is_allowed_by_the_configs(name):
    settings = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]()
    settings.data.path = "" if name == "dataset" else "somewhere"
    swept = [{key: value} for _, key, values in sensitivity.SWEEPS for value in values]
    hypotheses = [hypothesis.settings for hypothesis in method_study.HYPOTHESES.values()]
    for change in (*ablation.SWITCHES.values(), *swept, *hypotheses):
        changed = settings.copy_and_resolve_references()
        changed.update_from_flattened_dict(change)
        assert resolve(changed) != resolve(default())

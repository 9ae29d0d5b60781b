"""The experiments as commands on the tiny data set: the jobs they plan, and with `-m long` their results."""

import json
import pathlib
import re
import runpy
import sys

import numpy as np
import pytest
from python_process import ROOT
from table_fixture import config_file, made, quick_workers, results

from experiments.shared import table_command
from experiments.tables import ablation, averaged, method_study, missing_modality, sensitivity
from mpcl_jax.config.data import SimulateConfig
from mpcl_jax.config.resolve import ConfigError, default, resolve
from mpcl_jax.data.simulate import simulate
from mpcl_jax.evaluation.jobs import table_run
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.system.errors import STOPPED, Stopped

ONE_FOLD = (
    *("--seeds=1", "--workers=1", "--config.benchmark.baselines=train_mean,knn"),
    "--config.protocol.only=(0,)",
)


def planned(experiment: str, config: pathlib.Path, folder: pathlib.Path, *words: str) -> list[str]:
    """The names of the jobs that a command would run."""
    names = []

    def stopped(jobs, *_):
        names.extend(job.name for job in jobs)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(table_run, "run_jobs", stopped)
        made(experiment, config, folder, *ONE_FOLD, *words)
    assert ended.value.code == STOPPED
    return [name.removesuffix("  seed 0  fold 1 of 3") for name in names]


@pytest.mark.parametrize(("words", "folds"), [((), ()), (("--config.protocol.only=(1,)",), (1,))])
def test_a_table_tests_every_fold_also_of_a_config_that_runs_one(tmp_path, monkeypatch, words, folds):
    typed = ["tables", "--config", str(config_file(tmp_path, protocol__only=(0,))), *words]
    monkeypatch.setattr(sys, "argv", ["main_table.py", *typed])
    parsed, overrides = table_command.options("", 5, ()).parse_known_args(typed)
    args = table_command._options("experiments.tables.main_table", parsed, overrides, ())
    assert args.config.protocol.only == folds


BASELINES = ["train_mean", "knn"]


@pytest.mark.parametrize(
    ("experiment", "words", "jobs"),
    [
        ("main_table", (), ["MPCL", *BASELINES]),
        ("averaged", (), ["MPCL", *BASELINES]),
        ("ablation", ("--rows=with recall, no memory",), ["MPCL", "with recall", "no memory", "train_mean"]),
        ("sensitivity", ("--rows=loss.prototype = 1",), ["MPCL", "loss.prototype = 1", "train_mean"]),
        ("missing_modality", (), ["MPCL", *missing_modality.VARIANTS, *BASELINES]),
        ("learning_curve", (), ["MPCL", "MPCL without memory", *BASELINES] * 3),
    ],
)
def test_an_experiment_plans_its_jobs(tmp_path, experiment, words, jobs):
    assert planned(experiment, config_file(tmp_path, protocol__validation=0.0), tmp_path, *words) == jobs


def subjects_of(names: list[str]) -> set[str]:
    """ "P01/clip01@0.000" -> "P01"."""
    return {name.split("/")[0] for name in names}


def manifests_of(folder: pathlib.Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in (folder / "jobs" / "manifests").iterdir()]


@pytest.mark.parametrize("of", ["subjects", "trials"])
def test_a_learning_curve_keeps_the_test_rows_and_draws_nested_parts(tmp_path, of):
    planned("learning_curve", config_file(tmp_path, protocol__validation=0.0), tmp_path, f"--of={of}")
    manifests = manifests_of(tmp_path)
    assert len({json.dumps([fold["test"] for fold in x["folds"]]) for x in manifests}) == 1
    trained = [[set(x["rows"]) - {*f["test"], *f["unused"]} for f in x["folds"]] for x in manifests]
    smaller, *others = sorted((folds[0] for folds in trained), key=len)
    for larger in others:
        assert smaller < larger
        assert of == "subjects" or subjects_of(smaller) == subjects_of(larger)
        smaller = larger
    # Also of the folds that are not run: the longest training part determines the batches of an epoch.
    counts = [{len(x if of == "trials" else subjects_of(x)) for x in folds[:2]} for folds in trained]
    assert all(len(of_size) == 1 for of_size in counts)


def test_the_study_tests_the_subjects_of_the_next_fold(tmp_path):
    config = config_file(tmp_path, protocol__validation=0.0)
    jobs = planned("method_study", config, tmp_path, "--rows=strong prototype loss,one prototype")
    assert jobs == ["MPCL", "strong prototype loss", "one prototype", "train_mean"]
    settings = resolve(runpy.run_path(str(config))["get_config"]())
    data = load_table_data(settings)
    of_tables = [set(data.recordings.subject[fold.test]) for fold in data.split.folds]
    (manifest,) = manifests_of(tmp_path)
    # All folds, also those that are not run: the longest training part determines the batches of an epoch.
    for number, fold in enumerate(manifest["folds"]):
        assert subjects_of(fold["test"]) == of_tables[(number + 1) % len(of_tables)]
        assert of_tables[number] <= subjects_of(fold["unused"])


def test_the_study_needs_a_second_fold(tmp_path):
    config = resolve(runpy.run_path(str(config_file(tmp_path, protocol__kind="window80")))["get_config"]())
    with pytest.raises(ConfigError, match="'window80' has one fold"):
        method_study.without_tested(config, load_table_data(config), tmp_path)


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


# ---- whole experiments ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The experiments below share their jobs."""
    with quick_workers():
        yield tmp_path_factory.mktemp("experiments")


@pytest.mark.long
def test_ablation_and_sensitivity_share_the_full_model(folder):
    config = config_file(folder)
    printed = made("ablation", config, folder, *ONE_FOLD, "--rows=with recall")
    rows = results(folder, "ablation", "_pairs")
    assert [row["method"] for row in rows] == ["train_mean", "MPCL", "with recall"]
    verdict = "(better|worse|not significant)"
    assert re.search(rf"- with recall against MPCL: {verdict} \(KL [+−]?0\.\d", printed)
    printed = made("sensitivity", config, folder, *ONE_FOLD, "--rows=loss.prototype = 1")
    rows = results(folder, "sensitivity")
    assert [row["method"] for row in rows] == ["train_mean", "MPCL", "loss.prototype = 1"]
    assert re.search(r"^3 \w+, 2 ", printed, re.M)  # jobs, of which two were finished before


@pytest.mark.long
@pytest.mark.parametrize("of", ["subjects", "trials"])
def test_a_learning_curve_has_a_line_for_each_size(folder, of):
    config = config_file(folder / of, protocol__validation=0.0)
    printed = made("learning_curve", config, folder / of, *ONE_FOLD, f"--of={of}")
    rows = results(folder / of, "learning_curve")
    column, unit = {"subjects": ("subjects", ""), "trials": ("trials a subject", " a subject")}[of]
    sizes = [row[f"training {column}"] for row in rows if row["method"] == "MPCL"]
    assert sizes[:2] == [f"1 {of[:-1]}{unit}", f"2 {of}{unit}"]
    assert {row["method"] for row in rows} == {"train_mean", "knn", "MPCL", "MPCL without memory"}
    assert len({row["split_sha256"] for row in rows}) == 1  # the same test rows in every line
    assert f"- {sizes[-1]}: MPCL without memory against MPCL: " in printed
    assert f"- {sizes[-1]}: MPCL against train mean: " in printed


@pytest.mark.long
def test_the_study_compares_its_verdicts_with_what_was_predicted(folder):
    place, rows = folder / "study", "--rows=strong prototype loss,one prototype"
    config = config_file(place, protocol__validation=0.0)
    printed = made("method_study", config, place, *ONE_FOLD, "--config.protocol.only=(0, 1)", rows)
    methods = [row["method"] for row in results(place, "method_study")]
    assert methods == ["train_mean", "MPCL", "strong prototype loss", "one prototype"]
    found = r"(as predicted|not significant|refuted: (better|worse))"
    assert re.search(rf"\| one prototype +\|.*\| worse +\| {found} +\|", printed)


@pytest.mark.long
def test_missing_modality_tries_every_subset(folder):
    printed = made(
        "missing_modality",
        config_file(folder),
        folder,
        *ONE_FOLD,
        "--config.benchmark.baselines=train_mean,ridge",
        "--config.train.stimulus_averaging=1",
    )
    rows = results(folder, "missing_modality")
    left = list(dict.fromkeys(row["left"] for row in rows))
    names = set(left[0].removesuffix(" (all)").split(" + "))
    assert len(left) == 2 ** len(names) - 1
    assert any("(physiological)" in name for name in left) and any("(behavioural)" in name for name in left)
    assert {row["method"] for row in rows} == {"train_mean", "ridge", "MPCL", *missing_modality.VARIANTS}
    # The train mean does not use signals; the others do.
    values = [{row["kl"] for row in rows if row["method"] == x} for x in ("train_mean", "ridge", "MPCL")]
    assert len(values[0]) == 1 and len(values[1]) > 1 and len(values[2]) > 1
    for name in missing_modality.VARIANTS:
        assert f"(behavioural): {name} against MPCL: " in printed

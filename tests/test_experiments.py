"""The experiments as commands, on one fold of the tiny world; they share their pieces."""

import csv
import json
import pathlib
import re
import runpy
import sys

import pytest
from table_fixture import ROOT, config_file, made

from mpcl_jax.config import default, resolve

sys.path.insert(0, str(ROOT / "experiments"))
import ablation
import missing_modality
import sensitivity

FILES = {"ablation": ("_statistics.tex", "_pairs.csv"), "sensitivity": (), "learning_curve": (".tex",)}
QUICK = ("--seeds=1", "--workers=1", "--config.benchmark.baselines=train_mean,knn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def config(folder):
    return config_file(folder, protocol__only=(0,))


def results(folder: pathlib.Path, name: str) -> list[dict[str, str]]:
    """The rows of a finished experiment, whose files are all there and name their command, commit and machine."""
    place = folder / "results"
    for ending in (".md", ".csv", ".png", *FILES.get(name, ())):
        assert (place / f"{name}{ending}").stat().st_size > 200, ending
    with (place / f"{name}.csv").open() as file:
        assert re.match(rf"# python experiments/{name}\.py {name} .* @ .* @ \d+ x .*, jax ", file.readline())
        return list(csv.DictReader(file))


def test_ablation_and_sensitivity_share_the_full_model(folder, config):
    printed = made("ablation", config, folder, *QUICK, "--rows=no direct path")
    assert [row["method"] for row in results(folder, "ablation")] == ["train_mean", "MPCL", "no direct path"]
    words = "(not shown to be better or worse|better|worse) than the full model"
    assert re.search(rf"- no direct path: {words} \(KL [+−]?\.\d", printed)
    printed = made("sensitivity", config, folder, *QUICK, "--rows=loss.prototype = 1")
    rows = results(folder, "sensitivity")
    assert [row["method"] for row in rows] == ["train_mean", "MPCL", "loss.prototype = 1"]
    assert "3 pieces, 2 of them finished before" in printed


def test_learning_curve_keeps_the_test_rows_and_draws_nested_people(folder):
    everybody = config_file(folder / "more", protocol__only=(0,), protocol__validation=0.0)
    printed = made("learning_curve", everybody, folder, *QUICK)
    rows = results(folder, "learning_curve")
    sizes = [row["training subjects"] for row in rows if row["method"] == "MPCL"]
    assert sizes == ["1 subject", "2 subjects", "3 subjects"]
    assert {row["method"] for row in rows} == {"train_mean", "knn", "MPCL"}
    assert len({row["split_sha256"] for row in rows}) == 1  # the same test rows in every line
    assert "- 3 subjects: MPCL beats the train mean" in printed
    kept = []
    for file in (folder / "pieces" / "manifests").iterdir():
        manifest = json.loads(file.read_text())
        fold = manifest["folds"][0]
        trained = set(manifest["rows"]) - {name for part in ("test", "unused") for name in fold[part]}
        kept.append(trained)
    small, middle, large = sorted(kept, key=len)
    assert small < middle < large


def test_missing_modality_tries_every_subset(folder, config):
    printed = made(
        "missing_modality", config, folder, *QUICK, "--config.benchmark.baselines=train_mean,ridge"
    )
    rows = results(folder, "missing_modality")
    left = list(dict.fromkeys(row["left"] for row in rows))
    names = set(left[0].removesuffix(" (all)").split(" + "))
    assert len(left) == 2 ** len(names) - 1
    assert any("(physiological)" in name for name in left) and any("(behavioural)" in name for name in left)
    assert {row["method"] for row in rows} == {"train_mean", "ridge", "MPCL", *missing_modality.WITHOUT}
    # The train mean does not look at signals; the others do.
    kl = {
        method: {row["kl"] for row in rows if row["method"] == method}
        for method in ("train_mean", "ridge", "MPCL")
    }
    assert len(kl["train_mean"]) == 1 and len(kl["ridge"]) > 1 and len(kl["MPCL"]) > 1
    for name in missing_modality.WITHOUT:
        assert re.search(rf"\(behavioural\): {name}: .* MPCL \(KL ", printed)


def test_every_switch_of_the_method_has_a_row():
    text = (ROOT / "docs" / "method.md").read_text().split("## Switches")[1].split("##")[0]
    switches = {setting for line in text.splitlines() for setting in re.findall(r"`([a-z_.]+)=", line)}
    assert {key for settings in ablation.SWITCHES.values() for key in settings} == switches


@pytest.mark.parametrize("name", ["dataset", "wesad", "dmer_groups"])
def test_every_change_is_allowed_by_the_configs(name):
    settings = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]()
    settings.data.path = "" if name == "dataset" else "somewhere"
    swept = [{key: value} for _, key, values in sensitivity.SWEEPS for value in values]
    for change in (*ablation.SWITCHES.values(), *swept):
        changed = settings.copy_and_resolve_references()
        changed.update_from_flattened_dict(change)
        assert resolve(changed) != resolve(default())

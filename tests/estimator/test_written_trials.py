"""The protocols `sequential` and `few_shot` by `evaluate` and by the command: the same numbers."""

import dataclasses
import shutil

import numpy as np
import pytest
from finished_run import HOSTILE
from markupsafe import escape
from run_fixture import SMALL_MODEL, WithConfig, quickly, tiny_config
from sklearn.linear_model import Ridge
from styled_subjects import write_styled

import mpcl_jax as mpcl
from mpcl_jax.cli import explain as explain_command
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.manifest import trial_positions
from mpcl_jax.evaluation.audit.verdict import audit
from mpcl_jax.evaluation.experiment import run_experiment
from mpcl_jax.evaluation.number_text import decimal
from mpcl_jax.evaluation.verification import check_run
from mpcl_jax.model.recall_kernel import corrected, residual_of
from mpcl_jax.report.explanation import explain
from mpcl_jax.report.page import run_page
from mpcl_jax.runs.read_run import read_run
from mpcl_jax.train import folds
from mpcl_jax.train.fold_memory import load_memory, memory_file, save_memory
from mpcl_jax.train.interrupt import StopRequest

FEW = {"calibration": 2, "calibration_pool": 2, "folds": 2}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a run of the command, and the table of the same methods and an object."""
    folder = tmp_path_factory.mktemp("written")
    path = write_styled(folder / "data", subjects=10)
    small = {name.replace(".", "__"): x for name, x in SMALL_MODEL.items()}
    settings = {f"protocol__{name}": x for name, x in FEW.items()} | small
    settings |= {"protocol__validation": 0.0, "train__select": "last", "log__report": False}
    settings |= {"data__kind": "folder", "data__path": str(path), "benchmark__baselines": ("ridge",)}
    config = tiny_config(protocol__kind="few_shot", **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "compiled", quickly)
        run_experiment(config, folder / "run", "a command", StopRequest())
        data = mpcl.load_dataset("folder", path)
        methods = {"MPCL": WithConfig(config), "ridge": "ridge", "lin": Ridge(10.0)}
        cache = folder / "cache"
        table = mpcl.evaluate(methods, data, "few_shot", **FEW, workers=1, cache=cache, verbose=False)
    return folder / "run", table, config


def test_every_digit_is_that_of_the_command(compared):
    run, table, config = compared
    predictions = table.predictions("MPCL").drop(columns=["method", "seed"])
    text = predictions.to_csv(index=False, na_rep="nan", lineterminator="\n")
    assert text == (run / "predictions.csv").read_text()
    for frame, name in ((table.to_frame(), "table.csv"), (table.curve(), "memory_curve.csv")):
        lines = (run / name).read_text().splitlines()
        columns = lines[1].split(",")
        found = frame.loc[frame["method"] != "lin", columns].to_csv(index=False, na_rep="nan").splitlines()
        assert found == lines[1:], name
    assert check_run(run).differences == ()
    assert config.protocol.kind == "few_shot"


def test_a_table_shows_what_written_trials_are_worth(compared):
    run, table, _ = compared
    found = table.memory().set_index("method")
    assert list(found.index) == ["train_mean", "ridge", "lin", "MPCL"]
    assert (found["kl"] < found["kl_zero_shot"]).all() and set(found["verdict"]) == {"better"}
    assert found["kl"].tolist() == table.to_frame()["kl"].tolist()
    assert table.to_frame()["kl_zero_shot"].tolist() == found["kl_zero_shot"].tolist()
    assert "within trial, then over trials of a subject" in table.to_frame().attrs["caption"]
    assert (found[["p", "p_skewed"]] < 0.05).all(axis=None)
    assert "| p skewed |" in (run / "table.md").read_text()
    assert "Personal memory" in repr(table) and "Personal memory" in (run / "table.md").read_text()
    curve = table.curve()
    of_model = curve[curve["method"] == "MPCL"]
    assert of_model["written_trials"].tolist() == [0, 1, 2]
    assert of_model["kl"].iloc[0] == of_model["kl_zero_shot"].iloc[0]
    np.testing.assert_allclose(of_model["kl"].iloc[2], found.loc["MPCL", "kl"])


def test_a_killed_run_goes_on(compared, monkeypatch):
    run, _, config = compared
    monkeypatch.setattr(folds, "compiled", quickly)
    before = (run / "predictions.csv").read_text()
    for name in ("predictions.npz", "personal_memory_MPCL.npz", "baselines.npz"):
        (run / "folds" / "01" / name).unlink()
    run_experiment(config, run, "a command", StopRequest())
    assert (run / "predictions.csv").read_text() == before


def test_verify_computes_the_table_of_the_memory_again(compared, tmp_path):
    run = shutil.copytree(compared[0], tmp_path / "changed")
    text = (run / "memory.csv").read_text()
    value = text.splitlines()[2].split(",")[1]  # KL of the train mean without written trials
    (run / "memory.csv").write_text(text.replace(value, "0.5"))
    curve = (run / "memory_curve.csv").read_text()
    (run / "memory_curve.csv").write_text(curve.replace("MPCL,1,", "MPCL,1,9"))
    of_table, of_curve = check_run(run).differences
    assert of_table.startswith("memory.csv: train_mean, kl_zero_shot: stored 0.5, computed 0.")
    assert of_curve.startswith("memory_curve.csv: MPCL, 1, kl_zero_shot: stored 90.")


def test_verify_finds_reports_and_views_of_a_memory_that_were_changed(compared, tmp_path):
    run = shutil.copytree(compared[0], tmp_path / "changed")
    file = memory_file(run / "folds" / "00", "ridge")
    memory = load_memory(file)
    labels = memory.tested.labels[:, ::-1]
    save_memory(file, memory._replace(tested=memory.tested._replace(labels=labels)))
    found = "\n".join(check_run(run).differences)
    name = "personal_memory_ridge.npz"
    assert f"{name}: report, subject or trial differs from the saved predictions in" in found
    assert f"{name}: prediction with the memory differs from the saved predictions in" in found
    assert "memory_curve.csv: ridge, 1, kl:" in found


def test_the_audit_finds_a_report_in_its_own_prediction(compared, tmp_path):
    run, table, _ = compared
    assert audit(run, table.recordings).colour == "green"
    leaking = shutil.copytree(run, tmp_path / "leaking")
    file = leaking / "folds" / "00" / "baselines.npz"
    saved = dict(np.load(file))
    saved["ridge"][3] = 0.9 * saved["ridge"][3] + 0.1 * table.recordings.labels[table.split.folds[0].test[3]]
    np.savez(file, **saved)
    found = audit(leaking, table.recordings)
    (leak,) = [finding for finding in found.findings if finding.colour == "red"]
    assert leak.check == "written trials" and "fold 1 of 2, ridge: 1 prediction differs" in leak.says
    memory = load_memory(memory_file(leaking / "folds" / "01", "MPCL"))
    tested = table.recordings.subject[table.split.folds[1].test[0]]
    save_memory(memory_file(leaking / "folds" / "01", "MPCL"), memory._replace(subjects=(tested,)))
    says = [finding.says for finding in audit(leaking, table.recordings).findings]
    assert "fold 2 of 2, MPCL: the memory was learned on reports of tested subjects" in says


def test_both_pages_show_the_worth_of_written_trials_and_the_memory(compared, tmp_path):
    run, table, _ = compared
    files = read_run(run)
    memories = tuple(map(with_hostile_trials, files.written.memories))
    page = run_page(dataclasses.replace(files, written=files.written._replace(memories=memories)))
    of_table = table.report(tmp_path / "page.html").read_text()
    zero_shot = f"{table.memory().set_index('method').loc['MPCL', 'kl_zero_shot']:.4f}"
    for text in (page, of_table):
        assert "what the personal memory is worth" in text and "figure-written" in text and zero_shot in text
    for term in ("<dfn>all views</dfn>", "<dfn>none</dfn>", "KL of the train mean, which has its personal"):
        assert page.count(term) == of_table.count(term) == 1
    assert page.count("<dfn>train mean</dfn>") == of_table.count("<dfn>train mean</dfn>") == 1
    for text in (page, of_table):
        assert "MPCL. The last trials of the subjects with the largest, the median and the smallest" in text
    assert HOSTILE not in page and f"<td>{escape(HOSTILE)}" in page
    assert "The memory of MPCL in each fold" in page and "on: KL on training subjects" in page
    assert "after its first 2 trials were written into the memory" in page


def with_hostile_trials(memory):
    """The same memory with other names of the trials that are only written."""
    trial = memory.tested.trial
    written = trial_positions(memory.tested.subject, trial) < 2
    names = np.where(written, np.char.add(HOSTILE, trial), trial)
    return memory._replace(tested=memory.tested._replace(trial=names))


def test_explain_lists_the_written_trials_of_the_subject(compared, capsys):
    run, _, _ = compared
    files = read_run(run)
    assert explain_command.run([str(run), "--sample", str(files.id[0])]) == 0
    text = capsys.readouterr().out
    assert "written trials of the subject (weight of their residual in the correction of log p):" in text
    weight = explain(files, 0).written
    memory = load_memory(memory_file(run / "folds" / "00", "MPCL"))
    of_subject = memory.tested.subject == files.subject[0]
    assert set(weight) == set(memory.tested.trial[of_subject].tolist()[:4])  # two windows a trial
    assert all(f"{decimal(x, 3)}  {trial}\n" in text for trial, x in weight.items())
    # The weights give the correction: p after the written trials follows from their residuals.
    rows = [np.flatnonzero(memory.tested.trial == trial) for trial in weight]
    of_tested = memory.tested.log_probs, memory.tested.labels
    residual = residual_of(*of_tested, memory.kernel.blend)
    moved = sum(x * residual[own].mean(axis=0) for x, own in zip(weight.values(), rows, strict=True))
    place = np.searchsorted(memory.rows, np.load(run / "folds" / "00" / "predictions.npz")["rows"][0])
    after = np.exp(corrected(memory.tested.log_probs[place], moved))
    np.testing.assert_allclose(after, files.predicted[0], atol=1e-5)


def test_models_without_written_trials_have_no_memory(compared):
    _, table, _ = compared
    plain = dataclasses.replace(table, memories={})
    with pytest.raises(ConfigError, match="has no personal memory; evaluate with protocol 'sequential'"):
        plain.memory()


def test_sequential_and_few_shot_give_the_same_last_trial(compared):
    """After four written trials the fifth trial of a subject has the same prediction under both protocols."""
    _, table, _ = compared
    later = {"calibration": 4, "calibration_pool": 4, "folds": 2, "only": (0,)}
    few = mpcl.evaluate("ridge", table.recordings, "few_shot", **later, tries=1, verbose=False)
    every = mpcl.evaluate("ridge", table.recordings, "sequential", folds=2, only=(0,), tries=1, verbose=False)
    assert every.curve().query("method == 'ridge'")["written_trials"].tolist() == [0, 1, 2, 3, 4]
    fifth, all_of = few.predictions("ridge"), every.predictions("ridge")
    same = all_of[all_of["id"].isin(fifth["id"])].reset_index(drop=True)
    assert same.equals(fifth)

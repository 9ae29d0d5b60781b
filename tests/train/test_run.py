"""A run: resumed as if never stopped, chosen by validation alone, every test row once, files that can be read."""

import contextlib
import csv
import dataclasses
import json
import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest
from run_fixture import PowerCut, bits, last_training, moved, quickly_prepared, tiny_config

from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.data import pipeline
from mpcl_jax.data.normalise import fit_normalisation
from mpcl_jax.data.splits.manifest import read_manifest, row_ids, write_manifest
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation import comparison, experiment
from mpcl_jax.system.errors import Stopped
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.train import checkpoint, folds, loop, run_folder
from mpcl_jax.train import epoch as epoch_module
from mpcl_jax.train.evaluate import Predictions, Trained, load_predictions, predict, predictions_of
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.progress import LINES_PER_FOLD, FoldProgress
from mpcl_jax.train.run import Run, prepare, shared_program
from mpcl_jax.train.state import chosen_model
from mpcl_jax.types import DataError, take


class Board:
    """Stands for a TensorBoard writer."""

    def __init__(self):
        self.scalars = []

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))


@pytest.fixture(scope="module", autouse=True)
def _small_blocks(trained):
    # So small that folds of this world would need different numbers of blocks. `trained`, which is shared, has the
    # usual ones.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_module, "EVALUATION_BLOCK", 5)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """All folds trained without a break: (run, predictions, [(fold, epoch, training)] of every epoch)."""
    shared_program.cache_clear()  # that of `trained` is compiled for other blocks
    run = quickly_prepared(tiny_config(), tmp_path_factory.mktemp("run"))._replace(board=Board())
    seen = []

    def save(manager, epoch, training, norm, config):
        seen.append((epoch, jax.device_get(training)))
        checkpoint_save(manager, epoch, training, norm, config)

    checkpoint_save = checkpoint.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        predictions = train_folds(run)
    return run, predictions, seen


def test_all_folds_share_one_compilation(finished):
    """The first test of the file: later ones go on from checkpoints."""
    run, predictions, _ = finished
    assert {len(f.train) for f in run.split.folds} == {24, 36}
    assert {len(p.rows) for p in predictions} == {12, 24}
    of_run = run.program.create, run.program.epoch, run.program.predict
    assert [function._cache_size() for function in of_run] == [1, 1, 1]


def metrics_of(workdir: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def same_predictions(one: Predictions, other: Predictions) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def predicted_rows(run: Run, training, arrays, chosen) -> Predictions:
    """The windows `chosen`, predicted with the chosen model of a training."""
    trained = Trained(run.program, *chosen_model(training), run.rows, arrays, run.longest.test)
    return predictions_of(chosen, predict(trained, [chosen])[0][0])


# ---- resuming ----


@pytest.mark.parametrize("last_saved", [1, 2, 3])
def test_a_resumed_run_equals_one_that_was_never_stopped(finished, tmp_path, monkeypatch, capsys, last_saved):
    whole, predictions, _ = finished
    run = moved(whole, tmp_path, slice(0, 1))

    def fails(*_):
        raise PowerCut

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        save = checkpoint.save
        patch.setattr(checkpoint, "save", lambda m, e, *x: save(m, e, *x) if e <= last_saved else fails())
        patch.setattr(loop, "write_arrays", fails)
        train_folds(run)
    # The metrics are ahead of the checkpoint, and their last line was cut short.
    assert len(metrics_of(tmp_path)) == min(last_saved + 1, 3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"fold": 0, "epoch": 4, "lo')

    (resumed,) = train_folds(run)

    printed = capsys.readouterr().out
    assert f"  resumed after epoch {last_saved}" in printed
    assert ("(1 epoch was not saved)" in printed) == (last_saved < 3)
    assert same_predictions(resumed, predictions[0])
    assert last_training(run)[0] == 3
    assert bits(last_training(run)) == bits(last_training(whole))
    assert metrics_of(tmp_path) == [x for x in metrics_of(whole.workdir) if x["fold"] == 0]
    chosen = [json.loads((x.workdir / "selection.json").read_text())["fold 1 of 3"] for x in (run, whole)]
    assert chosen[0]["MPCL"]["choice"] == chosen[1]["MPCL"]["choice"]
    monkeypatch.setattr(loop, "train_group", None)  # a finished fold is read, not trained
    assert same_predictions(train_folds(run)[0], predictions[0])


def test_a_run_that_is_stopped_between_checkpoints_loses_no_epoch(finished, tmp_path):
    whole, predictions, _ = finished
    run = moved(whole, tmp_path, slice(0, 1), checkpoint_every=3)._replace(stop=StopRequest())
    epoch = run.program.epoch

    def stopped_in_the_second(*inputs):
        run.stop.requested = len(metrics_of(tmp_path)) == 1
        return epoch(*inputs)

    stopped_in_the_second.lower = epoch.lower  # the start compiles it ahead
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(Stopped):
        train_folds(run._replace(program=run.program._replace(epoch=stopped_in_the_second)))
    assert last_training(run)[0] == len(metrics_of(tmp_path)) == 2
    (resumed,) = train_folds(run._replace(stop=StopRequest()))
    assert same_predictions(resumed, predictions[0])
    assert bits(last_training(run)) == bits(last_training(whole))


def test_a_fold_run_alone_equals_the_fold_of_the_whole_protocol(finished, trained):
    whole, predictions, _ = finished
    run, alone = trained  # evaluated in larger blocks
    assert run.split.folds[0].name == "fold 1 of 3"
    states = [last_training(x)[1] for x in (run, whole)]
    assert bits(states[0].state) == bits(states[1].state) and states[0].best.epoch == states[1].best.epoch
    np.testing.assert_allclose(alone.predicted, predictions[0].predicted, atol=1e-6)


# ---- continuing in a folder ----


@pytest.mark.parametrize(
    "change, words",
    [
        ({"seed": 1}, "config.seed was 0, is 1"),
        ({"data__simulate__noise": 2.0}, "config.data.simulate.noise was 1.0, is 2.0"),
        ({"benchmark__tries": 1}, "config.benchmark.tries was 6, is 1"),
    ],
)
def test_other_settings_are_refused_naming_the_difference(finished, change, words):
    workdir = finished[0].workdir
    with pytest.raises(ConfigError) as caught:
        prepare(tiny_config(**change), workdir)
    assert words in str(caught.value)
    assert str(workdir / "config.json") in str(caught.value)


def test_other_data_another_split_and_damaged_documents_are_refused(finished, tmp_path):
    run = finished[0]
    other_data = run.recordings._replace(labels=run.recordings.labels[::-1].copy())
    other_split = make_split(run.recordings, dataclasses.replace(run.config.protocol, seed=1))

    def register(recordings=run.recordings, split=run.split):
        run_folder.register_run(tmp_path, run.config, recordings, split)

    register()
    with pytest.raises(ConfigError, match="data.sha256 was"):
        register(recordings=other_data)
    with pytest.raises(ConfigError, match="data.split_sha256 was"):
        register(split=other_split)
    write_manifest(other_split, run.recordings, tmp_path / "manifest.json")
    with pytest.raises(ConfigError, match=r"manifest.json: holds another split"):
        register()
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ConfigError, match=r"config.json: is no JSON"):
        register()


def test_what_changes_no_number_of_the_training_is_allowed_and_printed(finished, tmp_path, capsys):
    run = finished[0]
    run_folder.register_run(tmp_path, run.config, run.recordings, run.split)
    assert not capsys.readouterr().out
    config = tiny_config(
        train__checkpoint_every=7, log__tensorboard=True, data__cache="x", benchmark__baselines=("knn",)
    )
    run_folder.register_run(tmp_path, config, run.recordings, run.split)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 and all(line.startswith("note   config.") for line in printed)
    assert "config.train.checkpoint_every was 1, is 7; no number of the training" in "\n".join(printed)
    assert resolve(json.loads((tmp_path / "config.json").read_text())) == config


def test_a_setting_that_an_older_version_did_not_know_had_its_default(finished, tmp_path):
    run = finished[0]
    run_folder.register_run(tmp_path, run.config, run.recordings, run.split)
    old = json.loads((tmp_path / "config.json").read_text())
    del old["train"]["precision"], old["log"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    run_folder.register_run(tmp_path, run.config, run.recordings, run.split)
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(ConfigError, match=r"config.train.precision was 'float32', is 'bfloat16'"):
        run_folder.register_run(tmp_path, tiny_config(train__precision="bfloat16"), run.recordings, run.split)


def test_other_versions_and_devices_are_a_warning(finished, tmp_path, capsys):
    run = finished[0]
    run_folder.register_run(tmp_path, run.config, run.recordings, run.split)
    made_with = json.loads((tmp_path / "made_with.json").read_text())
    (tmp_path / "made_with.json").write_text(json.dumps(made_with | {"devices": 8}))
    run_folder.register_run(tmp_path, run.config, run.recordings, run.split)
    assert "warning: made_with.devices was 8, is 1: the rest of this run" in capsys.readouterr().err
    run_folder.register_run(tmp_path, run.config, run.recordings, run.split)
    assert not capsys.readouterr().err


def test_selection_needs_validation_rows_in_every_fold_of_a_manifest(finished, tmp_path):
    run = finished[0]
    split = make_split(run.recordings, dataclasses.replace(run.config.protocol, validation=0.0))
    write_manifest(split, run.recordings, tmp_path / "split.json")
    with pytest.raises(ConfigError, match="a fold without validation rows; set config.train.select=last"):
        prepare(tiny_config(protocol__manifest=str(tmp_path / "split.json")), tmp_path / "run")


def test_a_modality_that_some_fold_cannot_train_is_refused_before_the_first(tmp_path, monkeypatch):
    """Only the subjects tested in the last fold have it: a run would end there, hours after it began."""
    config = tiny_config()
    world = pipeline.load(config.data)
    split = make_split(world, config.protocol)
    last = split.folds[-1]
    name = next(iter(world.present))
    only_there = np.isin(np.arange(len(world.labels)), last.test)
    world = world._replace(present=world.present | {name: only_there})
    monkeypatch.setattr(pipeline, "load", lambda settings: world)
    with pytest.raises(DataError, match=f"{last.name}: no training window has '{name}'; leave it out"):
        prepare(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---- selection and leakage ----


def test_the_best_epoch_by_validation_is_kept_parameters_and_prototypes(finished):
    run, predictions, seen = finished
    epochs, best_epochs = run.config.train.epochs, []
    for number, fold in enumerate(run.split.folds):
        history = [x["validation_kl"] for x in metrics_of(run.workdir) if x["fold"] == number]
        best = int(np.argmin(history))
        best_epochs.append(best + 1)
        of_fold = [training for _, training in seen[number * epochs : (number + 1) * epochs]]
        chosen = of_fold[-1].best
        assert int(chosen.epoch) == best + 1
        assert float(chosen.validation_kl) == history[best]
        assert bits(chosen.params) == bits(of_fold[best].state.params)
        assert bits(chosen.prototypes) == bits(of_fold[best].state.prototypes)
        # And predictions are made with it: the state of that epoch, without a selection, predicts the same.
        norm = fit_normalisation(take(run.recordings, fold.train))
        arrays = jax.device_put(folds.fold_arrays(fold, norm, run.longest), run.program.replicated)
        training = jax.device_put(of_fold[best]._replace(best=None), run.program.replicated)
        again = predicted_rows(run, training, arrays, fold.test)
        assert same_predictions(again, predictions[number])
    assert set(best_epochs) - {epochs}, "no fold in which the best epoch is not the last: nothing was tested"


# ---- files ----


def test_documents_of_a_run_can_be_read_again(finished):
    run, predictions, _ = finished
    assert resolve(json.loads((run.workdir / "config.json").read_text())) == run.config
    data = json.loads((run.workdir / "data.json").read_text())
    assert (data["windows"], data["subjects"], data["split_sha256"]) == (60, 5, run.split.sha256)
    assert read_manifest(run.workdir / "manifest.json", run.recordings).sha256 == run.split.sha256
    entries = metrics_of(run.workdir)
    assert [(x["fold"], x["epoch"]) for x in entries] == [(k, e) for k in range(3) for e in (1, 2, 3)]
    terms = {"loss", "distribution", "prototype", "cooccurrence"}
    terms |= {"gradient_norm", "skipped"}
    assert all(set(x) == {"fold", "epoch", "validation_kl"} | terms for x in entries)
    assert all(np.isfinite(list(x.values())).all() for x in entries)
    names = terms | {"validation_kl"}
    written = [(f"fold_{x['fold']:02d}/{n}", x[n], x["epoch"]) for x in entries for n in names]
    assert sorted(run.board.scalars) == sorted(written)
    assert not list(run.workdir.rglob("*partial*"))


def test_every_test_row_is_predicted_and_written_once(finished, tmp_path, monkeypatch, capsys):
    run, predictions, _ = finished
    workdir = tmp_path / "copy"
    shutil.copytree(run.workdir, workdir)
    monkeypatch.setattr(experiment, "keep_compiled_programs", lambda: None)
    config = dataclasses.replace(run.config, log=dataclasses.replace(run.config.log, report=False))
    table = experiment.run_experiment(config, workdir, command="the command", stop=StopRequest())
    printed = capsys.readouterr().out
    assert "\nreport " not in printed and not (workdir / "report.html").exists()
    assert [row.method for row in table.rows] == ["train_mean", "MPCL"]
    assert printed.count("finished before") == 3
    with (workdir / "predictions.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for fold, predicted in zip(run.split.folds, predictions, strict=True):
        assert np.array_equal(predicted.rows, fold.test)
        assert all(len(x) == len(fold.test) and np.isfinite(x).all() for x in predicted)
    all_rows = np.concatenate([p.rows for p in predictions])
    assert np.array_equal(np.sort(all_rows), np.arange(len(run.recordings.labels)))
    assert [line["id"] for line in lines] == [row_ids(run.recordings)[row] for row in all_rows]
    assert [int(line["fold"]) for line in lines] == [k for k, p in enumerate(predictions) for _ in p.rows]
    for kind, values in (
        ("predicted", np.concatenate([p.predicted for p in predictions])),
        ("reported", run.recordings.labels[all_rows]),
    ):
        written = np.array([[float(line[f"{kind}_{e}"]) for e in run.recordings.emotions] for line in lines])
        np.testing.assert_allclose(written, values, atol=1e-6)
        np.testing.assert_allclose(written.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("damage", [lambda x: x[: len(x) // 2], lambda x: x[:60] + bytes(64) + x[124:]])
def test_damaged_predictions_and_baselines_are_named_with_the_way_out(finished, tmp_path, damage):
    def load_baselines(file, names=("train_mean",)):
        return comparison.load_fold(file, names, (4, 2))

    predictions, baselines = tmp_path / "predictions.npz", tmp_path / "baselines.npz"
    write_arrays(predictions, finished[1][0]._asdict())
    assert same_predictions(load_predictions(predictions), finished[1][0])
    assert load_baselines(baselines) == {}
    write_arrays(baselines, {"train_mean": np.full((4, 2), 0.5)})
    assert list(load_baselines(baselines, ("train_mean", "ridge"))) == ["train_mean"]  # ridge was added
    for file, load in ((predictions, load_predictions), (baselines, load_baselines)):
        file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(DataError, match=f"{file}.*delete it and start the run again"):
            load(file)
    write_arrays(predictions, {"train_mean": np.full((4, 2), 0.5)})
    with pytest.raises(DataError, match=f"{predictions}: .*delete it and start the run again"):
        load_predictions(predictions)
    for held in (np.full((3, 2), 0.5), np.full((4, 2), np.nan), np.ones((4, 2)), np.eye(4, 2, dtype=int)):
        write_arrays(baselines, {"train_mean": held})
        with pytest.raises(DataError, match="'train_mean' does not hold 4 distributions of 2 emotions"):
            load_baselines(baselines)


def test_without_a_terminal_progress_is_a_few_lines(capsys):
    ticker = FoldProgress("fold 1 of 2", epochs=40, done=0, samples_per_epoch=100)
    for epoch in range(1, 41):
        ticker.update(epoch, {"loss": 1.0, "validation_kl": 0.5})
    ticker.close()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == LINES_PER_FOLD
    assert lines[-1].startswith("fold 1 of 2  epoch 40/40  loss 1.0000  validation KL 0.5000")
    assert lines[-1].endswith(" 0 s of its training left")


def test_tensorboard_writes_into_the_run_or_is_refused_in_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    with contextlib.closing(experiment._board(tiny_config(log__tensorboard=True), tmp_path)) as board:
        board.add_scalar("fold_00/loss", 1.0, 1)
    assert list((tmp_path / "tensorboard").glob("events*"))
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"config.log.tensorboard = True: needs `pip install"):
        experiment._board(tiny_config(log__tensorboard=True), tmp_path)
    assert experiment._board(tiny_config(), tmp_path) is None

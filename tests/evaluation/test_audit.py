"""The leak audit: every planted leak is found and named, clean runs give no alarm."""

import json
import shutil

import numpy as np
import pytest
from planted_leaks import honest_config, moved, signed, split_of, write_run

from mpcl_jax.cli import audit as command
from mpcl_jax.data import pipeline
from mpcl_jax.evaluation.audit.verdict import audit, to_line, to_text

CONFIG = honest_config()
WORLD = pipeline.load(CONFIG.data)
BY_TRIAL = honest_config(protocol__kind="trial_kfold")
BY_STIMULUS = honest_config(protocol__kind="stimulus_kfold")
CALIBRATED = honest_config(protocol__kind="calibrated")
BY_BOTH = honest_config(protocol__kind="subject_x_stimulus")


def audited(folder, *, config=CONFIG, world=WORLD, split=None, after=None):
    """The audit of a run that is written and then changed by `after`."""
    write_run(folder, world, config, split or split_of(world, config))
    if after:
        after(folder)
    return audit(folder, world)


def edited(name, change):
    """Edits a text of the run."""

    def after(folder):
        text = (folder / name).read_text()
        assert change(text) != text
        (folder / name).write_text(change(text))

    return after


# ---- clean runs ----


def dmer_sample():
    """The layout of the published sample: one subject, label groups for clips, no times, a published random split."""
    world = pipeline.load(CONFIG.data)
    groups = np.unique(world.labels, axis=0, return_inverse=True)[1].ravel()
    return world._replace(
        subject=np.full(len(groups), "S1"),
        trial=np.array([f"S1/group{g:02d}" for g in groups]),
        stimulus=np.full(len(groups), ""),
        start=np.full(len(groups), np.nan),
        duration=float("nan"),
        published_test=np.arange(len(groups)) % 5 == 0,
    )


@pytest.mark.parametrize(
    "kind", ["loso", "subject_kfold", "trial_kfold", "stimulus_kfold", "subject_x_stimulus", "calibrated"]
)
def test_a_clean_run_gives_no_alarm(tmp_path, kind):
    found = audited(tmp_path / "run", config=honest_config(protocol__kind=kind))
    assert found.colour == "green", to_text(found)


def test_clean_runs_of_other_layouts_give_no_alarm(tmp_path):
    found = audited(tmp_path / "dmer", config=BY_TRIAL, world=dmer_sample())
    assert found.colour == "green", to_text(found)
    # Windows of one subject that overlap by half, whole trials held out; and a clip that all subjects meet twice.
    late = WORLD._replace(start=WORLD.start / 2)
    assert audited(tmp_path / "overlap", config=BY_TRIAL, world=late).colour == "green"
    again = WORLD._replace(stimulus=np.where(WORLD.stimulus == "clip02", "clip01", WORLD.stimulus))
    assert audited(tmp_path / "again", config=BY_TRIAL, world=again).colour == "green"


def with_audio(world, of_stimulus=("audio",)):
    """The same recordings with features of the clip, equal for every subject that met it."""
    rng, clips = np.random.default_rng(5), np.unique(world.stimulus, return_inverse=True)[1]
    clips = clips * 100 + np.nan_to_num(world.start).astype(int)
    audio = rng.normal(size=(clips.max() + 1, 1, 8)).astype(np.float32)[clips]
    here = np.ones(len(clips), bool)
    return world._replace(
        groups=world.groups | {"audio": "behavioural"},
        signals=world.signals | {"audio": audio},
        present=world.present | {"audio": here},
        quality=world.quality | {"audio": here.astype(np.float32)},
        of_stimulus=of_stimulus,
    )


def test_a_modality_of_the_stimulus_is_amber_where_stimuli_are_shared(tmp_path):
    found = audited(tmp_path / "subjects", world=with_audio(WORLD))
    (finding,) = [finding for finding in found.findings if finding.colour != "green"]
    assert finding.colour == "amber" and "audio describes the stimulus" in finding.says
    assert "stimulus_kfold and subject_x_stimulus hold stimuli out" in finding.says
    assert json.loads((tmp_path / "subjects" / "data.json").read_text())["of_stimulus"] == ["audio"]
    assert audited(tmp_path / "clips", world=with_audio(WORLD), config=BY_STIMULUS).colour == "green"
    # Without the flag, and for numbers of another stimulus with it, copies stay a leak.
    unmarked = audited(tmp_path / "unmarked", world=with_audio(WORLD, ()))
    assert unmarked.colour == "red"
    hint = 'if audio describes the stimulus, set "of": "stimulus" in meta.json (docs/own_data.md)'
    assert all(hint in x.says for x in unmarked.findings if x.check == "copies")
    mixed = with_audio(WORLD)
    mixed.signals["audio"][:] = mixed.signals["audio"][0]
    found = audited(tmp_path / "mixed", world=mixed, config=BY_STIMULUS)
    assert found.colour == "red" and not any('"of"' in x.says for x in found.findings)


def test_a_run_that_is_not_finished_is_amber_and_names_what_is_missing(tmp_path):
    def killed(folder):
        (folder / "predictions.csv").unlink()
        shutil.rmtree(folder / "folds" / "01")

    found = audited(tmp_path / "run", after=killed)
    assert found.colour == "amber"
    missing = "predictions.csv, folds/01/predictions.npz, folds/01/baselines.npz missing"
    assert to_line(found).startswith(f"audit  amber: run: it is not finished: {missing}; start the command")


def test_features_standardised_by_subject_are_amber(tmp_path):
    config = honest_config(data__per_subject_standardise=True)
    found = audited(tmp_path / "run", config=config, world=pipeline.load(config.data))
    assert found.colour == "amber"
    assert to_line(found).startswith("audit  amber: standardisation: the features of each subject")


# ---- planted leaks: rows ----

SPLIT = split_of(WORLD, CONFIG)
TESTED = SPLIT.folds[0].test
SUBJECT = WORLD.subject[TESTED[0]]
FIRST = f"{WORLD.trial[TESTED[0]]}@{WORLD.start[TESTED[0]]:.3f}"  # the first tested window


def also_in(part, config, rows):
    """Some rows of the first test part in another part as well."""
    split = split_of(WORLD, config)
    return config, WORLD, moved(split, split.folds[0].test[rows], part)


def other_stimuli():
    """Trained on other stimuli of the tested subjects."""
    split = split_of(WORLD, BY_BOTH)
    test = split.folds[0].test
    rows = np.flatnonzero(np.isin(WORLD.subject, WORLD.subject[test]))
    return BY_BOTH, WORLD, moved(split, np.setdiff1d(rows, test), "train")


def validated_on_the_test():
    return CONFIG, WORLD, SPLIT._replace(folds=(SPLIT.folds[0]._replace(validation=TESTED), SPLIT.folds[1]))


def at_random():
    """Folds of random windows, whatever the settings say."""
    split = split_of(WORLD, BY_TRIAL)
    test = np.sort(np.random.default_rng(0).permutation(len(WORLD.trial))[::2])
    rest = np.setdiff1d(np.arange(len(WORLD.trial)), test)
    folds = [
        fold._replace(train=train, validation=np.arange(0), test=rows)
        for fold, train, rows in zip(split.folds, (rest, test), (test, rest), strict=True)
    ]
    return BY_TRIAL, WORLD, split._replace(folds=tuple(folds))


def with_signals(change):
    """Recordings whose signals are changed in place."""
    signals = {m: x.copy() for m, x in WORLD.signals.items()}
    change(signals)
    return CONFIG, WORLD._replace(signals=signals), SPLIT


def copied(names, noise=0.0):
    """A training window with the values of a test window."""

    def change(signals):
        for m in names:
            signals[m][SPLIT.folds[0].train[0]] = signals[m][TESTED[0]] * (1 + noise)

    return with_signals(change)


def label_in_a_feature(missing=0):
    def change(signals):
        signals["gsr"][:, 0, 5] = 3 * WORLD.labels[:, 2] + 1
        signals["gsr"][:missing, 0, 5] = np.nan

    return with_signals(change)


def trials_cut(step):
    """Every trial is two "trials" of one window each; their windows begin `step` seconds apart."""
    number = np.arange(len(WORLD.trial)) % 2
    trial = np.array([f"{t}/{n}" for t, n in zip(WORLD.trial, number, strict=True)])
    world = WORLD._replace(trial=trial, start=step * number)
    return BY_TRIAL, world, split_of(world, BY_TRIAL)


TOO_NEAR = "are less than a window's length away from training windows"


@pytest.mark.parametrize(
    "planted, says, an_id",
    [
        (lambda: also_in("train", CONFIG, np.s_[:12:2]), "1 subject ids", SUBJECT),
        (lambda: also_in("train", BY_TRIAL, np.s_[:1]), "1 trial ids", "P01/clip"),
        (lambda: also_in("train", BY_STIMULUS, np.s_[:2]), "1 stimulus ids", "clip"),
        (lambda: also_in("train", CALIBRATED, np.s_[:2]), "trains on 2", "P01"),
        (lambda: also_in("validation", CONFIG, np.s_[::2]), "subject ids lie both in validation", SUBJECT),
        (validated_on_the_test, "names windows more than once", FIRST),
        (other_stimuli, "subject ids", "P0"),
        (at_random, "trial ids", "P01/clip"),
    ],
)
def test_planted_rows_are_found_in_the_manifest(tmp_path, planted, says, an_id):
    config, world, split = planted()
    found = audited(tmp_path / "run", config=config, world=world, split=signed(split, world))
    (finding,) = found.findings
    assert finding.colour == "red" and says in finding.says and an_id in finding.says, finding.says


@pytest.mark.parametrize(
    "planted, check, says, an_id",
    [
        (lambda: trials_cut(5.0), "raw samples", "share raw samples with training windows", "P0"),
        (lambda: trials_cut(10.0), "raw samples", TOO_NEAR, "P0"),
        (lambda: copied(WORLD.signals), "copies", "1 test window has the same gsr values as training", FIRST),
        (lambda: copied(["eeg"]), "copies", "1 test window has the same eeg values", FIRST),
        (lambda: copied(WORLD.signals, 1e-4), "neighbours", "test windows is nearly a copy", FIRST),
        (label_in_a_feature, "labels inside", "feature 5 of gsr is the label of Excited", "Excited"),
        (lambda: label_in_a_feature(7), "labels inside", "feature 5 of gsr is the label of", "Excited"),
    ],
)
def test_planted_rows_are_found_and_named(tmp_path, planted, check, says, an_id):
    config, world, split = planted()
    split = signed(split, world)
    found = audited(tmp_path / "run", config=config, world=world, split=split)
    assert found.colour == "red"
    named = [x for x in found.findings if x.check == check and says in x.says]
    assert named and any(x.startswith(an_id) for x in named[0].ids), to_text(found)


def test_window80_is_red_and_says_why(tmp_path):
    config = honest_config(protocol__kind="window80", protocol__validation=0.1)
    found = audited(tmp_path / "run", config=config)
    assert found.colour == "red"
    assert to_line(found).startswith("audit  RED: protocol: LEAKY: windows of the test trials are trained on")


def test_constant_and_missing_features_give_no_alarm(tmp_path):
    def change(signals):
        signals["gsr"][:, 0, 3], signals["gsr"][::5, 0, 4] = 7.0, np.nan

    found = audited(tmp_path / "run", world=with_signals(change)[1])
    assert found.colour == "green", to_text(found)


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("manifest.json", lambda x: x.replace('"fold 2 of 2"', '"fold two"'), "do not fit its sha256"),
        ("config.json", lambda x: x.replace('"subject_kfold"', '"loso"'), "the manifest has 'subject_kfold'"),
        ("data.json", lambda x: x.replace(SPLIT.sha256, "0" * 64), "not the split that the run started"),
    ],
)
def test_a_changed_split_is_found(tmp_path, name, change, says):
    found = audited(tmp_path / "run", after=edited(name, change))
    assert any(x.check == "manifest" and x.colour == "red" and says in x.says for x in found.findings)


def test_choices_after_a_test_evaluation_are_found(tmp_path):
    run = tmp_path / "run"
    write_run(run, WORLD, CONFIG, SPLIT)
    file = run / "selection.json"
    written = json.loads(file.read_text())

    def changed(change):
        document = json.loads(json.dumps(written))
        change(document["fold 2 of 2"]["MPCL"])
        file.write_text(json.dumps(document))
        return next(x for x in audit(run, WORLD).findings if x.check == "test evaluations")

    assert changed(lambda entry: None).colour == "green"
    found = changed(lambda entry: entry.update(chosen="9999"))
    assert (found.colour, found.says) == ("red", "fold 2 of 2: MPCL chosen after a test evaluation")
    found = changed(lambda entry: entry["earlier"].append({}))
    assert found.colour == "amber" and found.ids == ("fold 2 of 2: MPCL",)
    file.unlink()
    assert any(x.says.startswith("no selection.json") for x in audit(run, WORLD).findings)


# ---- the command ----


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "run"
    write_run(folder, WORLD, CONFIG, SPLIT)
    return folder


def test_the_command_of_a_clean_and_of_a_leaky_run(clean, tmp_path, capsys):
    assert command.run([str(clean)]) == 0
    assert capsys.readouterr().out.endswith("audit  green: 7 checks, no leak found\n")
    assert json.loads((clean / "audit.json").read_text())["colour"] == "green"
    run = shutil.copytree(clean, tmp_path / "run")
    edited("manifest.json", lambda x: x.replace('"fold 2 of 2"', '"fold two"'))(run)
    assert command.run([str(run), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((run / "audit.json").read_text()) and printed["colour"] == "red"


def test_changed_recordings_are_amber(clean):
    other = audit(clean, WORLD._replace(labels=WORLD.labels[::-1]))
    assert any("the recordings have changed since the run" in x.says for x in other.findings)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: shutil.rmtree(f), "is no folder; give the folder of a run"),
        (lambda f: (f / "config.json").write_text('{"sed": 1}'), "config.json: was written by another"),
        (lambda f: (f / "selection.json").write_text('{"a": 1}'), "selection.json: is no record of choices"),
    ],
)
def test_a_folder_that_cannot_be_audited_is_one_line(clean, tmp_path, capsys, damage, message):
    run = shutil.copytree(clean, tmp_path / "run")
    damage(run)
    assert command.run([str(run)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1

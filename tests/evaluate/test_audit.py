"""The leak audit: every planted leak is found and named, no clean run raises an alarm."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from planted_leaks import Habits, honest_config, moved, signed, split_of, write_run
from wesad_fixture import answers, recording, write_subject

from mpcl_jax.cli import audit as command
from mpcl_jax.data import pipeline
from mpcl_jax.evaluate.audit.verdict import audit, to_line, to_text

CONFIG = honest_config()
WORLD = pipeline.load(CONFIG.data)
BY_TRIAL = honest_config(protocol__kind="trial_kfold")
BY_STIMULUS = honest_config(protocol__kind="stimulus_kfold")
CALIBRATED = honest_config(protocol__kind="calibrated")
BY_BOTH = honest_config(protocol__kind="subject_x_stimulus")


HONEST = Habits()


def audited(folder, *, config=CONFIG, world=WORLD, split=None, habits=HONEST, after=None):
    """What the audit says of a run that is written with these habits and then changed by `after`."""
    write_run(folder, world, config, split or split_of(world, config), habits)
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


def times(world, start):
    return world._replace(start=np.asarray(start, float))


def renamed(world, trial):
    """The same recordings with other trial ids."""
    return world._replace(trial=np.asarray(trial, str))


# ---- clean runs ----


def wesad(folder):
    for number, shift in ((2, 0), (3, 1)):
        person = recording(f"S{number}", faster=5 * shift, seconds=25)
        for key in ("EDA", "TEMP"):  # the same for all subjects in that fixture
            x = person["signal"]["wrist"][key]
            x += 0.1 * np.random.default_rng(number).normal(size=x.shape)
        write_subject(folder / "WESAD", person, answers(subject=f"S{number}", shift=shift))
    wanted = {
        "data__kind": "wesad",
        "data__path": str(folder / "WESAD"),
        "data__cache": str(folder / "cache"),
    }
    windows = {"data__wesad__window_seconds": 10.0, "data__wesad__step_seconds": 5.0}
    last = {"train__select": "last", "protocol__validation": 0.0}
    return honest_config(protocol__kind="loso", **wanted, **windows, **last)


def dmer_sample():
    """The layout of the published sample: one person, label groups for clips, no times, a published random split."""
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
def test_a_clean_run_raises_no_alarm(tmp_path, kind):
    found = audited(tmp_path / "run", config=honest_config(protocol__kind=kind))
    assert found.colour == "green", to_text(found)


def test_clean_runs_of_other_layouts_raise_no_alarm(tmp_path):
    config = wesad(tmp_path)
    world = pipeline.load(config.data)
    found = audited(tmp_path / "wesad", config=config, world=world)
    assert found.colour == "green", to_text(found)
    found = audited(tmp_path / "dmer", config=BY_TRIAL, world=dmer_sample())
    assert found.colour == "green", to_text(found)
    # Windows of one person that overlap by half, whole trials held out; and a clip that everybody sees twice.
    late = times(WORLD, WORLD.start / 2)
    assert audited(tmp_path / "overlap", config=BY_TRIAL, world=late).colour == "green"
    again = WORLD._replace(stimulus=np.where(WORLD.stimulus == "clip02", "clip01", WORLD.stimulus))
    assert audited(tmp_path / "again", config=BY_TRIAL, world=again).colour == "green"


def with_audio(world, of_stimulus=("audio",)):
    """The same recordings with features of the clip, equal for every subject who met it."""
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
    found = audited(tmp_path / "people", world=with_audio(WORLD))
    (said,) = [finding for finding in found.findings if finding.colour != "green"]
    assert said.colour == "amber" and "audio describes the stimulus" in said.says
    assert "stimulus_kfold or subject_x_stimulus holds stimuli out" in said.says
    assert json.loads((tmp_path / "people" / "data.json").read_text())["of_stimulus"] == ["audio"]
    assert audited(tmp_path / "clips", world=with_audio(WORLD), config=BY_STIMULUS).colour == "green"
    # Without the flag, and for numbers of another stimulus with it, copies stay a leak.
    unsaid = audited(tmp_path / "unsaid", world=with_audio(WORLD, ()))
    assert unsaid.colour == "red"
    hint = 'if audio describes the stimulus, write "of": "stimulus" for it in meta.json (docs/own_data.md)'
    assert all(hint in x.says for x in unsaid.findings if x.check == "copies")
    mixed = with_audio(WORLD)
    mixed.signals["audio"][:] = mixed.signals["audio"][0]
    found = audited(tmp_path / "mixed", world=mixed, config=BY_STIMULUS)
    assert found.colour == "red" and not any('"of"' in x.says for x in found.findings)


def test_features_standardised_by_person_are_amber(tmp_path):
    config = honest_config(data__per_subject_standardise=True)
    found = audited(tmp_path / "run", config=config, world=pipeline.load(config.data))
    assert found.colour == "amber"
    assert to_line(found).startswith("audit  amber: standardisation: each person's features")


# ---- planted leaks: rows ----

SPLIT = split_of(WORLD, CONFIG)
TESTED = SPLIT.folds[0].test
PERSON = WORLD.subject[TESTED[0]]
IDS = [f"{t}@{s:.3f}" for t, s in zip(WORLD.trial, WORLD.start, strict=True)]


def of_trial(split, number=0):
    """Half of the windows of a tested trial."""
    return split.folds[number].test[:1]


def at_random(world, config):
    """Folds of random windows, whatever the settings say."""
    split = split_of(world, config)
    test = np.sort(np.random.default_rng(0).permutation(len(world.trial))[::2])
    everything = np.arange(len(world.trial))
    folds = [
        fold._replace(train=np.setdiff1d(everything, rows), validation=np.arange(0), test=rows)
        for fold, rows in zip(split.folds, (test, np.setdiff1d(everything, test)), strict=True)
    ]
    return split._replace(folds=tuple(folds))


def copied(names, noise=0.0):
    """A window of the tested person that also stands among the trained ones, under another name."""
    signals = {m: x.copy() for m, x in WORLD.signals.items()}
    trained = SPLIT.folds[0].train[0]
    for m in names:
        signals[m][trained] = signals[m][TESTED[0]] * (1 + noise)
    return WORLD._replace(signals=signals)


def label_in_a_feature(missing=0):
    signals = {m: x.copy() for m, x in WORLD.signals.items()}
    signals["gsr"][:, 0, 5] = 3 * WORLD.labels[:, 2] + 1
    signals["gsr"][:missing, 0, 5] = np.nan
    return WORLD._replace(signals=signals)


def trials_cut(step):
    """Every trial is two "trials" of one window each; their windows begin `step` seconds apart."""
    number = np.arange(len(WORLD.trial)) % 2
    return times(
        renamed(WORLD, [f"{t}/{n}" for t, n in zip(WORLD.trial, number, strict=True)]), step * number
    )


def quiet_and_cut():
    """As many "trials" as windows, no times; the two windows of a clip resemble one another."""
    signals = {m: x.copy() for m, x in WORLD.signals.items()}
    rng = np.random.default_rng(0)
    for x in signals.values():
        x[1::2] = x[::2] + 0.3 * rng.normal(size=x[::2].shape).astype(np.float32)
    world = renamed(WORLD, [f"{t}/{n}" for n, t in enumerate(WORLD.trial)])
    return times(world, np.full(len(WORLD.trial), np.nan))._replace(signals=signals)


def row_plant(name):
    """(settings, recordings, split) of a leak of rows."""
    split = {c: split_of(WORLD, c) for c in (BY_TRIAL, BY_STIMULUS, BY_BOTH)}
    both = split[BY_BOTH].folds[0]
    other_stimuli = np.flatnonzero(np.isin(WORLD.subject, WORLD.subject[both.test]))
    return {
        "half a person": (CONFIG, WORLD, moved(SPLIT, TESTED[WORLD.subject[TESTED] == PERSON][::2], "train")),
        "half a trial": (BY_TRIAL, WORLD, moved(split[BY_TRIAL], of_trial(split[BY_TRIAL]), "train")),
        "a stimulus": (
            BY_STIMULUS,
            WORLD,
            moved(split[BY_STIMULUS], split[BY_STIMULUS].folds[0].test[:2], "train"),
        ),
        "the person, other stimuli": (
            BY_BOTH,
            WORLD,
            moved(split[BY_BOTH], np.setdiff1d(other_stimuli, both.test), "train"),
        ),
        "a validated person": (CONFIG, WORLD, moved(SPLIT, TESTED[TESTED % 2 == 0], "validation")),
        "validation is the test": (
            CONFIG,
            WORLD,
            SPLIT._replace(folds=(SPLIT.folds[0]._replace(validation=TESTED), SPLIT.folds[1])),
        ),
        "one trial more": (
            CALIBRATED,
            WORLD,
            moved(split_of(WORLD, CALIBRATED), split_of(WORLD, CALIBRATED).folds[0].test[:2], "train"),
        ),
        "random windows": (BY_TRIAL, WORLD, at_random(WORLD, BY_TRIAL)),
        "trials cut, overlapping": (BY_TRIAL, trials_cut(5.0), None),
        "trials cut, no guard": (BY_TRIAL, trials_cut(10.0), None),
        "a trial per window": (BY_TRIAL, quiet_and_cut(), None),
        "copied windows": (CONFIG, copied(WORLD.signals), None),
        "one copied modality": (CONFIG, copied(["eeg"]), None),
        "windows copied with noise": (CONFIG, copied(WORLD.signals, 1e-4), None),
        "a label among the features": (CONFIG, label_in_a_feature(), None),
        "a label, some values missing": (CONFIG, label_in_a_feature(missing=7), None),
    }[name]


@pytest.mark.parametrize(
    "name, check, says, an_id",
    [
        ("half a person", "groups", "1 subject ids lie both in train and in test", PERSON),
        ("half a trial", "groups", "1 trial ids lie both in train and in test", "P01/clip"),
        ("a stimulus", "groups", "1 stimulus ids lie both in train and in test", "clip"),
        ("the person, other stimuli", "groups", "subject ids lie both in train and in test", "P0"),
        ("a validated person", "groups", "subject ids lie both in validation and in test", PERSON),
        ("validation is the test", "groups", "window ids lie both in validation and in test", IDS[TESTED[0]]),
        ("one trial more", "groups", "2 trials of the tested person are trained on, not 1", "P01/clip"),
        ("random windows", "groups", "trial ids lie both in train and in test", "P01/clip"),
        ("random windows", "raw samples", "begin or end within a window's length of such", "P01/clip"),
        (
            "trials cut, overlapping",
            "raw samples",
            "share raw samples with windows that were trained on",
            "P0",
        ),
        ("trials cut, no guard", "raw samples", "begin or end within a window's length of such", "P0"),
        ("a trial per window", "neighbours", "of the same person with the very same report", "P0"),
        (
            "copied windows",
            "copies",
            "1 tested window has the same gsr values as training windows",
            IDS[TESTED[0]],
        ),
        ("one copied modality", "copies", "1 tested window has the same eeg values", IDS[TESTED[0]]),
        ("windows copied with noise", "neighbours", "are all but copies of trained ones", IDS[TESTED[0]]),
        (
            "a label among the features",
            "labels inside",
            "feature 5 of gsr is the label of Excited",
            "Excited",
        ),
        ("a label, some values missing", "labels inside", "feature 5 of gsr is the label of", "Excited"),
    ],
)
def test_planted_rows_are_found_and_named(tmp_path, name, check, says, an_id):
    config, world, split = row_plant(name)
    split = signed(split or split_of(world, config), world, tmp_path)
    found = audited(tmp_path / "run", config=config, world=world, split=split)
    assert found.colour == "red"
    named = [x for x in found.findings if x.check == check and says in x.says]
    assert named and any(x.startswith(an_id) for x in named[0].ids), to_text(found)


def test_window80_is_red_and_says_why(tmp_path):
    found = audited(
        tmp_path / "run", config=honest_config(protocol__kind="window80", protocol__validation=0.1)
    )
    assert found.colour == "red"
    assert to_line(found).startswith(
        "audit  RED: protocol: LEAKY: windows of the tested trials are trained on"
    )
    groups = next(x for x in found.findings if x.check == "groups")
    assert "trial ids lie both in train and in test" in groups.says and groups.ids[0].startswith("P01/clip")


# ---- planted leaks: training ----


def rows(*parts):
    return lambda split, k: np.unique(np.concatenate([split.folds[k]._asdict()[part] for part in parts]))


def but(value, number=1, usual=0):
    """`value` for one fold, `usual` for the others."""
    return lambda split, k: value if k == number else usual


def test_constant_and_missing_features_raise_no_alarm(tmp_path):
    signals = {m: x.copy() for m, x in WORLD.signals.items()}
    signals["gsr"][:, 0, 3], signals["gsr"][::5, 0, 4] = 7.0, np.nan
    found = audited(tmp_path / "run", world=WORLD._replace(signals=signals))
    assert found.colour == "green", to_text(found)


@pytest.mark.parametrize(
    "habits, check, says",
    [
        (Habits(statistics_of=rows("train", "validation", "test")), "statistics", "it is that of all rows"),
        (Habits(statistics_of=rows("train", "test")), "statistics", "it is that of training and test rows"),
        (
            Habits(statistics_of=lambda split, k: split.folds[0].train),
            "statistics",
            "training rows of fold 1 of 2",
        ),
        (
            Habits(mean_of=rows("train", "validation", "test")),
            "train mean",
            "fold 1 of 2: the train mean is not",
        ),
        (
            Habits(chosen=but(3, usual=2)),
            "selection",
            "epoch 3 was chosen (KL 0.3750), validation is lowest at epoch 2",
        ),
        (Habits(epochs=but(2, usual=3)), "selection", "fold 2 of 2: it ends at epoch 2 of 3"),
        (
            Habits(more_logged=lambda s, k: {"test_kl": 0.1}),
            "selection",
            "the log of its training holds test_kl",
        ),
        (Habits(carried=lambda s, k: 4 * k), "state", "fold 2 of 2: its memory did not start empty"),
        (Habits(carried=lambda s, k: 4 * k), "state", "fold 2 of 2: 30 steps in 3 epochs of 2"),
        (Habits(origin_of=lambda s, k: 0), "state", "fold 2 of 2: its checkpoint is of another fold"),
        (Habits(origin_of=lambda s, k: 0), "state", "fold 2 of 2 has the memory of fold 1 of 2"),
        (
            Habits(first_loss=but(0.03, usual=0.12)),
            "state",
            "fold 2 of 2: its first epoch begins at a loss of 0.0300",
        ),
        (Habits(settings=lambda c: replace(c, seed=5)), "state", "trained with other settings: config.seed"),
        (
            Habits(model_of=lambda s, k: 0),
            "predictions",
            "fold 2 of 2: its predictions were made by the model of fold 1",
        ),
    ],
)
def test_planted_habits_of_training_are_found(tmp_path, habits, check, says):
    found = audited(tmp_path / "run", habits=habits)
    assert any(x.check == check and x.colour == "red" and says in x.says for x in found.findings), to_text(
        found
    )


def by_heart(folder):
    """A baseline whose nearest training row is the tested one itself."""
    place = folder / "folds" / "00" / "baselines.npz"
    np.savez(place, train_mean=np.load(place)["train_mean"], knn=WORLD.labels[TESTED].astype(np.float64))


def hard_ones_left_out(text):
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(f"{IDS[TESTED[3]]},"))


def other_report(text):
    """The shares of the first tested window, the other way round."""
    heads, first, *others = text.splitlines()
    cells = first.split(",")
    return "\n".join([heads, ",".join([*cells[:5], *cells[5:15][::-1], *cells[15:]]), *others, ""])


@pytest.mark.parametrize(
    "after, check, says",
    [
        (by_heart, "exact reports", "fold 1 of 2: knn repeats 100% of the tested reports"),
        (
            edited("predictions.csv", hard_ones_left_out),
            "predictions",
            "are tested, but their predictions are left out",
        ),
        (
            edited("predictions.csv", other_report),
            "predictions",
            "1 windows are scored against other reports",
        ),
        (
            edited("manifest.json", lambda x: x.replace('"fold 2 of 2"', '"fold two"')),
            "manifest",
            "do not fit its sha256",
        ),
        (
            edited("manifest.json", lambda x: x.replace('"subject_kfold"', '"trial_kfold"')),
            "manifest",
            "it says 'trial_kfold'",
        ),
        (
            edited("data.json", lambda x: x.replace(SPLIT.sha256, "0" * 64)),
            "manifest",
            "not the split that the run began",
        ),
    ],
)
def test_files_that_were_changed_later_are_found(tmp_path, after, check, says):
    found = audited(tmp_path / "run", after=after)
    bad = [x for x in found.findings if x.colour == "red"]
    assert any(x.check == check and says in x.says for x in bad), to_text(found)


def test_what_was_chosen_after_a_look_is_said(tmp_path):
    run = tmp_path / "run"
    write_run(run, WORLD, CONFIG, SPLIT, HONEST)
    file = run / "selection.json"
    written = json.loads(file.read_text())

    def sealed(change):
        document = json.loads(json.dumps(written))
        change(document["fold 2 of 2"]["MPCL"])
        file.write_text(json.dumps(document))
        return next(x for x in audit(run, WORLD).findings if x.check == "sealed")

    assert sealed(lambda entry: None).colour == "green"
    found = sealed(lambda entry: entry.update(chosen="9999"))
    assert (found.colour, found.says) == ("red", "fold 2 of 2: MPCL chosen after the test was looked at")
    found = sealed(lambda entry: entry["choice"].update(epoch=1))
    assert (found.colour, found.says) == ("red", "fold 2 of 2: epoch 1 was written down, epoch 2 predicts")
    found = sealed(lambda entry: entry["earlier"].append({}))
    assert found.colour == "amber" and found.ids == ("fold 2 of 2: MPCL",)
    file.unlink()
    assert any(x.says.startswith("no selection.json") for x in audit(run, WORLD).findings)


def test_an_emotion_that_no_training_row_reports_is_not_remembered(tmp_path):
    labels = WORLD.labels.copy()
    labels[SPLIT.folds[0].train, 0] = labels[SPLIT.folds[0].train].min(1)
    world = WORLD._replace(labels=labels / labels.sum(1, keepdims=True))
    write_run(tmp_path / "run", world, CONFIG, split_of(world, CONFIG), HONEST)
    assert audit(tmp_path / "run", world).colour == "green"
    labels = WORLD._replace(
        labels=np.where(np.arange(10) == 0, WORLD.labels.min(1, keepdims=True), WORLD.labels)
    )
    assert any(
        "remembers emotions that no training" in x.says for x in audit(tmp_path / "run", labels).findings
    )


# ---- the command ----


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "run"
    write_run(folder, WORLD, CONFIG, SPLIT, HONEST)
    return folder


def started(monkeypatch, *words) -> int:
    return command.run([*map(str, words)])


def test_the_command_of_a_clean_and_of_a_leaky_run(clean, tmp_path, monkeypatch, capsys):
    assert started(monkeypatch, clean) == 0
    assert capsys.readouterr().out.endswith("audit  green: 15 checks, no leak found\n")
    assert json.loads((clean / "audit.json").read_text())["colour"] == "green"
    run = shutil.copytree(clean, tmp_path / "run")
    edited("manifest.json", lambda x: x.replace('"fold 2 of 2"', '"fold two"'))(run)
    assert started(monkeypatch, run, "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((run / "audit.json").read_text()) and printed["colour"] == "red"


def test_what_is_gone_is_amber(clean, tmp_path):
    run = shutil.copytree(clean, tmp_path / "run")
    for number in range(2):
        shutil.rmtree(run / "folds" / f"{number:02d}" / "checkpoints")
    found = audit(run, WORLD)
    assert found.colour == "amber"
    gone = [x.check for x in found.findings if x.says == "no checkpoint is left: not checked"]
    assert gone == ["statistics", "selection", "state"]
    other = audit(run, WORLD._replace(labels=WORLD.labels[::-1]))
    assert any("the recordings are not those of the run" in x.says for x in other.findings)


def flip(file):
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda f: shutil.rmtree(f), "config.json: does not exist: no run, or not finished"),
        (lambda f: (f / "predictions.csv").unlink(), "predictions.csv: does not exist"),
        (
            lambda f: (f / "config.json").write_text('{"sed": 1}'),
            "config.json: was written by another version",
        ),
        (lambda f: (f / "manifest.json").write_text('{"folds": []}'), "manifest.json: is no split manifest"),
        (lambda f: (f / "metrics.jsonl").write_text("{]}\n"), "metrics.jsonl: is damaged"),
        (lambda f: flip(f / "folds/00/checkpoints/3/normalisation/_METADATA"), "is damaged: its sha256"),
        (lambda f: (f / "folds/01/predictions.npz").unlink(), "folds/01/predictions.npz: does not exist"),
        (
            lambda f: np.savez(f / "folds/01/predictions.npz", x=np.zeros(1)),
            "predictions.npz: lacks 'predicted'",
        ),
    ],
)
def test_a_folder_that_can_not_be_audited_is_one_line(clean, tmp_path, monkeypatch, capsys, damage, said):
    run = shutil.copytree(clean, tmp_path / "run")
    damage(run)
    assert started(monkeypatch, run) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1

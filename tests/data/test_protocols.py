"""Splits: what is held out, that nothing leaks, that they are the same on every machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings_fixture import recordings_of

from mpcl_jax.config.data import PROTOCOLS, WRITTEN, ProtocolConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits import protocols
from mpcl_jax.data.splits.descriptions import calibration_trials
from mpcl_jax.data.splits.manifest import check_split
from mpcl_jax.data.splits.protocols import DMER_SUBJECTS, FIXED_TEST, FIXED_VALIDATION
from mpcl_jax.types import DataError, Recordings, take


def dmer_recordings(subjects=DMER_SUBJECTS, clips=2) -> Recordings:
    """As many rows as DMER has subjects, with their ids."""
    fake = recordings_of(len(subjects), clips, 1)
    subject = np.repeat(np.array(subjects), clips)
    trial = np.array([f"{i}/{c}" for i, c in zip(subject, fake.stimulus, strict=True)])
    return fake._replace(name="DMER", subject=subject, trial=trial)


FAKE = recordings_of(6, 10, 4, first=2, step=2.5)
ONE = recordings_of(1, 10, 4)
KFOLD = ("subject_kfold", "trial_kfold", "stimulus_kfold", "subject_x_stimulus")
SUBJECTS_APART = ("loso", "subject_kfold", "subject_x_stimulus", "fixed_48_12_13", *WRITTEN)
DMER = dmer_recordings()


def split_of(kind, recordings=FAKE, **settings):
    return protocols.make_split(recordings, ProtocolConfig(kind=kind, **settings))


def shared(recordings_ids, a, b):
    return set(recordings_ids[a]) & set(recordings_ids[b])


def ids_of(recordings, split):
    ids = np.array(protocols.row_ids(recordings))
    return [[sorted(ids[rows]) for rows in (f.train, f.validation, f.test)] for f in split.folds]


@given(
    kind=st.sampled_from([kind for kind in PROTOCOLS if kind != "fixed_48_12_13"]),
    sizes=st.tuples(st.integers(4, 6), st.integers(5, 8), st.integers(2, 3)),
    settings=st.fixed_dictionaries(
        {"folds": st.integers(2, 3), "seed": st.integers(0, 99), "validation": st.sampled_from([0.0, 0.3])}
    ),
)
def test_a_split_holds_out_whole_groups_and_depends_on_ids_alone(kind, sizes, settings):
    recordings = recordings_of(*sizes, first=2, step=2.5)
    split = split_of(kind, recordings, **settings)
    check_parts(recordings, split, kind, settings["validation"] > 0)
    if kind in ("loso", *KFOLD[:3]):
        tested = np.sort(np.concatenate([f.test for f in split.folds]))
        assert np.array_equal(tested, np.arange(len(recordings.trial)))
        sizes = {len(f.train) + len(f.validation) + len(f.test) for f in split.folds}
        assert sizes == {len(recordings.trial)}
    # The last fold alone is the same fold.
    last = len(split.folds) - 1
    alone = split_of(kind, recordings, **settings, only=(last,))
    assert [fold.name for fold in alone.folds] == [split.folds[last].name]
    assert ids_of(recordings, alone) == ids_of(recordings, split)[-1:]
    # Other labels and signals, and rows in another order, give the same split.
    n, rng = len(recordings.trial), np.random.default_rng(settings["seed"])
    shuffled = take(recordings, rng.permutation(n))._replace(
        labels=rng.dirichlet(np.ones(2), n).astype(np.float32), signals={"eda": rng.normal(size=(n, 1, 2))}
    )
    again = split_of(kind, shuffled, **settings)
    if kind in WRITTEN:  # the order of the trials is part of these protocols
        assert split.sha256 != again.sha256
        return
    assert split.sha256 == again.sha256 and ids_of(recordings, split) == ids_of(shuffled, again)


def check_parts(recordings, split, kind, validated):
    """Parts are sorted and disjoint, and the groups of the protocol are in one part each."""
    assert split.leaky == (kind == "window80") == ("LEAKY" in split.sentence)
    for fold in split.folds:
        rows = np.concatenate([fold.train, fold.validation, fold.test])
        assert len(np.unique(rows)) == len(rows) and (len(fold.validation) > 0) == validated
        for part in (fold.train, fold.validation, fold.test):
            assert np.array_equal(part, np.sort(part))
        for a, b in ((fold.train, fold.test), (fold.validation, fold.test), (fold.train, fold.validation)):
            assert kind == "window80" or not shared(recordings.trial, a, b)
            if kind in SUBJECTS_APART or (kind == "calibrated" and a is not fold.train):
                assert not shared(recordings.subject, a, b)
            if kind == "stimulus_kfold" or (kind == "subject_x_stimulus" and b is fold.test):
                assert not shared(recordings.stimulus, a, b)


def test_the_fixed_split_of_dmer_has_disjoint_parts():
    check_parts(DMER, split_of("fixed_48_12_13", DMER), "fixed_48_12_13", True)


def test_loso_has_one_subject_per_fold_in_numeric_order():
    recordings = recordings_of(10, 14, 2, first=2)
    folds = split_of("loso", recordings).folds
    assert [set(recordings.subject[f.test]) for f in folds] == [{f"S{i}"} for i in range(2, 12)]
    assert folds[5].name == "fold 6 of 10" and folds[5].sentence == "held out: subject S7, 14 trials"


def test_trial_kfold_tests_some_trials_of_every_subject_in_every_fold():
    for fold in split_of("trial_kfold", folds=5).folds:
        trials = np.unique(FAKE.trial[fold.test])
        assert sorted(t.split("/")[0] for t in trials) == sorted([f"S{i}" for i in range(2, 8)] * 2)
        assert set(FAKE.subject[fold.train]) == set(FAKE.subject)
        assert "12 trials of 6 subjects" in fold.sentence


def test_subject_x_stimulus_tests_new_subjects_on_new_clips_and_trains_on_neither():
    folds = split_of("subject_x_stimulus", folds=2).folds
    assert len(folds) == 2
    for fold in folds:
        subjects, clips = set(FAKE.subject[fold.test]), set(FAKE.stimulus[fold.test])
        assert (len(subjects), len(clips)) == (3, 5)
        assert len(fold.test) == len(fold.train) == 3 * 5 * 4  # the other subjects on the other clips
        assert "3 subjects" in fold.sentence and "5 stimuli" in fold.sentence


def test_window80_tests_the_published_rows_or_else_a_fifth_of_each_subject_at_random():
    (fold,) = split_of("window80").folds
    names, counts = np.unique(FAKE.subject[fold.test], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {f"S{i}": 8 for i in range(2, 8)}
    assert "LEAKY" in fold.sentence and "at random" in fold.sentence and len(fold.train) == 240 - 48
    published = np.arange(240) % 7 == 0
    (fold,) = split_of("window80", FAKE._replace(published_test=published), seed=5).folds
    assert np.array_equal(fold.test, np.flatnonzero(published)) and "as published" in fold.sentence


KINDS = [*zip(KFOLD, (FAKE.subject, FAKE.trial, FAKE.stimulus), strict=False)]


@pytest.mark.parametrize(("kind", "ids"), KINDS)
def test_validation_takes_whole_groups_of_the_same_kind(kind, ids):
    for fold in split_of(kind, folds=2, validation=0.4).folds:
        inside = len(set(ids[fold.train]) | set(ids[fold.validation]))
        assert len(set(ids[fold.validation])) == round(0.4 * inside)
        assert not shared(ids, fold.train, fold.validation)
    for fold in split_of("loso", validation=0.01).folds:
        assert len(set(FAKE.subject[fold.validation])) == 1  # at least one


@pytest.mark.parametrize("kind", [*KFOLD, "window80", "calibrated"])
def test_seed_moves_the_split_and_the_hash(kind):
    a, b = split_of(kind, folds=3), split_of(kind, folds=3, seed=1)
    assert a.sha256 == split_of(kind, folds=3).sha256
    assert a.sha256 != b.sha256


def test_hash_is_the_same_on_every_machine():
    # Recorded once (numpy 2.4, x86-64): a change means that old result tables no longer compare with new ones.
    assert (
        split_of("subject_x_stimulus", folds=3, validation=0.3).sha256
        == "e0648a6407fe5fc0a92e4afa339594a0b07fa4d22d09726a4acd5061feda1711"
    )
    assert split_of("loso").sha256 == "ed49124eabb8fc47faef54e29b8e4fa43ee0e28880d0a4829b1f42badd2beb0e"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_calibrated_trains_on_n_trials_of_the_subject_and_tests_the_same_rows_for_every_n(count):
    split = split_of("calibrated", calibration=count, calibration_pool=3)
    assert split.protocol == f"calibrated({count})"
    assert f"with {count} labelled calibration trial" in split.sentence
    loso = split_of("loso", validation=0.3)
    most = split_of("calibrated", calibration=3, calibration_pool=3)
    for fold, whole, of_most in zip(split.folds, loso.folds, most.folds, strict=True):
        known = calibration_trials(FAKE, fold.train, fold.test)
        assert len(known) == count and all(t in fold.sentence for t in known)
        assert set(known) <= set(calibration_trials(FAKE, of_most.train, of_most.test))
        assert np.array_equal(fold.test, of_most.test) and set(fold.test) < set(whole.test)
        assert len(np.unique(FAKE.trial[fold.test])) == 7
        assert set(fold.train) >= set(whole.train) | set(whole.validation)


def test_sequential_tests_all_trials_of_the_subjects_of_subject_kfold():
    split, kfold = split_of("sequential", folds=3), split_of("subject_kfold", folds=3)
    assert ids_of(FAKE, split) == ids_of(FAKE, kfold) and split.sha256 != kfold.sha256
    assert "each trial of an unseen subject is predicted after all its earlier trials" in split.sentence
    single = take(FAKE, FAKE.stimulus == "c0")
    with pytest.raises(ConfigError, match="'sequential': needs subjects with two or more trials"):
        split_of("sequential", single, folds=3)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_shot_writes_the_first_n_trials_and_tests_the_same_rows_for_every_n(count):
    split = split_of("few_shot", folds=3, calibration=count, calibration_pool=3)
    assert split.protocol == f"few_shot({count})" and f"after its first {count} trial" in split.sentence
    for fold, whole in zip(split.folds, split_of("sequential", folds=3).folds, strict=True):
        assert np.array_equal(fold.train, whole.train) and set(fold.test) < set(whole.test)
        for name in np.unique(FAKE.subject[fold.test]):
            trials = list(dict.fromkeys(FAKE.trial[FAKE.subject == name]))
            of_subject = FAKE.trial[fold.written[FAKE.subject[fold.written] == name]]
            assert list(dict.fromkeys(of_subject)) == trials[:count]
            assert set(FAKE.trial[fold.test[FAKE.subject[fold.test] == name]]) == set(trials[3:])
    with pytest.raises(ConfigError, match="calibration_pool = 10: subject S. has 10 trials, so none is left"):
        split_of("few_shot", folds=2, calibration_pool=10)


def test_calibration_never_validates_on_the_tested_subject_nor_depends_on_the_others():
    here = split_of("calibrated", calibration=2, validation=0.4).folds
    assert not any(shared(FAKE.subject, f.validation, np.append(f.test, f.train)) for f in here)
    fewer = recordings_of(3, 10, 4, first=2, step=2.5)
    known = [
        calibration_trials(data, split.train, split.test)
        for data, split in ((FAKE, here[0]), (fewer, split_of("calibrated", fewer, calibration=2).folds[0]))
    ]
    assert known[0] == known[1] and len(known[0]) == 2


def test_the_fixed_parts_are_drawn_from_the_subjects_of_dmer_and_stay_when_some_are_missing():
    drawn = np.random.default_rng(0).permutation(DMER_SUBJECTS).tolist()
    assert len(DMER_SUBJECTS) == 73
    assert set(FIXED_TEST) == set(drawn[:13]) and set(FIXED_VALIDATION) == set(drawn[13:25])
    fewer = dmer_recordings([x for x in DMER_SUBJECTS if x not in ("5", "8", "1")])
    for recordings, counts in ((DMER, [48, 12, 13]), (fewer, [47, 11, 12])):
        (fold,) = split_of("fixed_48_12_13", recordings, seed=9, validation=0.5).folds
        parts = (fold.train, fold.validation, fold.test)
        assert [len(set(recordings.subject[rows])) for rows in parts] == counts
        first = "8, 11" if counts[0] == 48 else ""
        assert fold.sentence.startswith(f"held out: {counts[2]} subjects ({first}")


def test_row_ids_with_and_without_a_start():
    assert protocols.row_ids(FAKE)[:3] == ["S2/c0@0.000", "S2/c0@2.500", "S2/c0@5.000"]
    ids = protocols.row_ids(FAKE._replace(start=np.full(240, np.nan)))
    assert ids[:5] == ["S2/c0@#0", "S2/c0@#1", "S2/c0@#2", "S2/c0@#3", "S2/c1@#0"] and len(set(ids)) == 240
    with pytest.raises(DataError, match=r"fake: two windows are 'S2/c0@0.000'"):
        protocols.row_ids(FAKE._replace(start=np.zeros(240)))


FEW_DMER = dmer_recordings([*FIXED_TEST, "1"])
NAMELESS = FAKE._replace(stimulus=np.where(FAKE.trial == "S3/c4", "", FAKE.stimulus))


def only(*kinds):
    return FAKE._replace(protocols=kinds)


@pytest.mark.parametrize(
    ("recordings", "kind", "settings", "message"),
    [
        (only("loso", "window80"), "trial_kfold", {}, "needs `trial` .* supports only 'loso', 'window80'$"),
        (only("window80"), "loso", {}, "'loso': fake supports only 'window80'"),
        (FAKE, "subject_kfold", {"folds": 7}, "folds = 7: needs at least 7 subjects, .* have 6 subjects"),
        (FAKE, "trial_kfold", {"folds": 61}, "folds = 61: needs at least 61 trials, .* have 60 trials"),
        (ONE, "subject_kfold", {}, "a single subject; set .* to 'trial_kfold' or 'stimulus_kfold'$"),
        (ONE, "loso", {}, "fake holds a single subject"),
        (FAKE, "fixed_48_12_13", {}, "made for the 73 subjects of DMER; fake has subject 'S2'"),
        (FEW_DMER, "fixed_48_12_13", {}, "DMER has no subject of its validation part"),
        (FAKE, "calibrated", {"calibration_pool": 10}, "subject S2 has 10 trials, so none is left"),
        (FAKE, "loso", {"only": (6,)}, r"only = \(6,\): .* from 0 .* to 5"),
        (FAKE, "loso", {"validation": 0.95}, "takes 5 of 5 groups .*validation=0 .*select=last"),
        (NAMELESS, "stimulus_kfold", {}, "needs stimulus ids; trial 'S3/c4' has none"),
    ],
)
def test_refuses_settings_that_the_recordings_cannot_support(recordings, kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        split_of(kind, recordings, **settings)


def test_refuses_a_trial_that_belongs_to_two_subjects():
    subject = FAKE.subject.copy()
    subject[0] = "S7"
    with pytest.raises(DataError, match=r"fake: fold \d of 6: 1 trial ids .* S2/c0"):
        split_of("loso", FAKE._replace(subject=subject))


def test_refuses_an_empty_test_part():
    # No subject of this data set watched a clip of another subject, so no fold of subjects meets all folds of clips.
    own = FAKE._replace(stimulus=np.char.add(FAKE.subject, "'s own"))
    with pytest.raises(DataError, match="the test part is empty"):
        for seed in range(20):
            split_of("subject_x_stimulus", own, folds=6, seed=seed)


def train_on_a_tested_row(fold):
    return fold._replace(train=np.append(fold.train, fold.test[0]))


def uncalibrated(fold):
    return fold._replace(train=fold.train[FAKE.subject[fold.train] != "S2"])


@pytest.mark.parametrize(
    ("kind", "leak", "message"),
    [
        ("loso", train_on_a_tested_row, "subject ids lie both in train and in test: S2"),
        ("trial_kfold", train_on_a_tested_row, "1 trial ids .* train and in test"),
        ("stimulus_kfold", lambda f: f._replace(validation=f.test[:1]), "1 stimulus ids .* validation and"),
        ("window80", train_on_a_tested_row, "1 window ids .* train and in test"),
        ("calibrated", uncalibrated, r"calibrated\(1\) tests one subject .* tests S2 and trains on 0"),
        ("loso", lambda f: f._replace(test=f.test[:0]), "the test part is empty"),
        ("loso", lambda f: f._replace(test=np.append(f.test, 240)), "names rows that fake does not have"),
    ],
)
def test_check_split_finds_planted_leaks(kind, leak, message):
    split = split_of(kind, folds=3)
    check_split(FAKE, split)
    with pytest.raises(DataError, match=message):
        check_split(FAKE, split._replace(folds=(leak(split.folds[0]), *split.folds[1:])))

"""Normalisation sees training rows only, and absent content never."""

import tracemalloc

import numpy as np
import pytest

from mpcl_jax.data import normalise
from mpcl_jax.data.normalise import (
    Normalisation,
    apply_normalisation,
    design_matrix,
    fit_normalisation,
    notes_on,
    notes_on_fold,
    standardise_per_subject,
)
from mpcl_jax.types import DataFileError, Recordings, check_recordings, take


def fake_recordings(seed=0) -> Recordings:
    """Three subjects, 8 windows each, two modalities of which the second is sometimes absent."""
    rng = np.random.default_rng(seed)
    n = 24
    return Recordings(
        name="fake",
        emotions=("a", "b"),
        valence=("positive", "negative"),
        groups={"eda": "physiological", "face": "behavioural"},
        signals={
            "eda": rng.normal(5, 3, (n, 2, 3)).astype(np.float32),
            "face": rng.normal(-1, 0.1, (n, 1, 4)).astype(np.float32),
        },
        present={"eda": np.ones(n, bool), "face": np.arange(n) % 5 != 0},
        quality={"eda": np.ones(n, np.float32), "face": np.ones(n, np.float32)},
        labels=np.full((n, 2), 0.5, np.float32),
        subject=np.repeat(["S1", "S2", "S3"], 8),
        trial=np.repeat([f"t{i}" for i in range(12)], 2),
        stimulus=np.repeat("", n),
        start=np.full(n, np.nan),
        duration=np.nan,
        notes=("first note",),
    )


FAKE = fake_recordings()
TRAIN = np.arange(16)


def with_signal(recordings, m, rows, value):
    x = recordings.signals[m].copy()
    x[rows] = value
    return recordings._replace(signals=recordings.signals | {m: x})


def same(a: Normalisation, b: Normalisation) -> bool:
    return all(np.array_equal(a.mean[m], b.mean[m]) and np.array_equal(a.std[m], b.std[m]) for m in a.mean)


def test_hand_values():
    # Present values 1, 2, 6: mean 3, population variance (4 + 1 + 9) / 3. The absent 100 does not count.
    x = np.array([1, 100, 2, 6], np.float32).reshape(4, 1, 1)
    present = np.array([True, False, True, True])
    data = take(FAKE, np.arange(4))._replace(
        signals={"eda": x}, present={"eda": present}, groups={"eda": "physiological"}
    )
    norm = fit_normalisation(data)
    assert norm.mean["eda"] == [[3]]
    assert norm.std["eda"] == pytest.approx(np.sqrt(14 / 3))
    z = apply_normalisation(data.signals, data.present, norm)["eda"]
    np.testing.assert_allclose(z.ravel(), np.array([-2, 0, -1, 3]) / np.sqrt(14 / 3), rtol=1e-6)
    assert z.dtype == np.float32


def test_training_rows_get_mean_0_and_sd_1():
    train = take(FAKE, TRAIN)
    z = apply_normalisation(train.signals, train.present, fit_normalisation(train))
    for m in z:
        here = z[m][train.present[m]]
        np.testing.assert_allclose(here.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(here.std(0), 1, atol=1e-5)


def test_statistics_follow_training_rows_and_never_test_rows():
    norm = fit_normalisation(take(FAKE, TRAIN))
    test_changed = with_signal(FAKE, "eda", slice(16, 24), 1e6)
    assert same(norm, fit_normalisation(take(test_changed, TRAIN)))
    for row in TRAIN:
        train_changed = with_signal(FAKE, "eda", row, 1e3)
        assert not same(norm, fit_normalisation(take(train_changed, TRAIN)))


@pytest.mark.parametrize("content", [1e30, np.nan])
def test_absent_content_has_no_influence_bit_for_bit(content):
    changed = with_signal(FAKE, "face", ~FAKE.present["face"], content)
    norm = fit_normalisation(take(changed, TRAIN))
    assert same(norm, fit_normalisation(take(FAKE, TRAIN)))
    assert design_matrix(changed, norm).tobytes() == design_matrix(FAKE, norm).tobytes()
    here, there = standardise_per_subject(changed), standardise_per_subject(FAKE)
    assert all(here.signals[m].tobytes() == there.signals[m].tobytes() for m in here.signals)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e7])
def test_constant_features_become_0(value):
    x = FAKE.signals["eda"].copy()
    x[:, 1, 2] = value
    data = FAKE._replace(signals=FAKE.signals | {"eda": x})
    norm = fit_normalisation(data)
    assert norm.std["eda"][1, 2] == np.inf
    assert (norm.std["eda"][0] > 2).all()
    other = with_signal(data, "eda", slice(16, 24), 5.0)  # in the test part, where it may be anything
    z = apply_normalisation(other.signals, other.present, norm)["eda"]
    assert not z[:, 1, 2].any()
    (note,) = notes_on_fold(norm)
    assert note.startswith("eda: 1 of 6 features") and note.endswith("(token 1, feature 2)")


def test_rounding_is_not_taken_for_a_signal():
    # 1 + 1e-7 is the next float32 after 1: dividing by that spread would make 0.1 of a new subject a million.
    x = FAKE.signals["eda"].copy()
    x[:, 0, 0] = 1 + np.float32(1.2e-7) * (np.arange(24) % 2)
    data = FAKE._replace(signals=FAKE.signals | {"eda": x})
    assert len(set(x[:, 0, 0])) == 2
    assert fit_normalisation(data).std["eda"][0, 0] == np.inf
    assert (standardise_per_subject(data).signals["eda"][:, 0, 0] == 0).all()


def test_refuses_a_modality_that_no_training_row_has():
    absent = FAKE._replace(present=FAKE.present | {"face": np.arange(24) >= 16})
    with pytest.raises(DataFileError, match="fake: no training window has 'face'; leave it out"):
        fit_normalisation(take(absent, TRAIN))


def test_per_subject_uses_each_persons_own_rows_and_says_so():
    out = standardise_per_subject(FAKE)
    for name in ("S1", "S2", "S3"):
        rows = FAKE.subject == name
        for m, x in out.signals.items():
            here = x[rows & FAKE.present[m]]
            np.testing.assert_allclose(here.mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(here.std(0), 1, atol=1e-4)
    assert (out.signals["face"][~FAKE.present["face"]] == 0).all()
    moved = standardise_per_subject(
        with_signal(FAKE, "eda", FAKE.subject == "S3", FAKE.signals["eda"][16:] ** 2)
    )
    np.testing.assert_array_equal(moved.signals["eda"][:16], out.signals["eda"][:16])
    assert np.abs(moved.signals["eda"][16:] - out.signals["eda"][16:]).max() > 0.1
    assert out.notes[0] == "first note"
    assert "whole recording" in out.notes[1]
    assert len(out.notes) == 2


def test_per_subject_single_window_and_constant_feature_become_0():
    present = FAKE.present["face"].copy()
    present[9:16] = False  # S2 keeps one window of face
    present[8] = True
    x = FAKE.signals["eda"].copy()
    x[:8, 0, 1] = 3.3  # constant within S1
    data = FAKE._replace(present=FAKE.present | {"face": present}, signals=FAKE.signals | {"eda": x})
    out = standardise_per_subject(data)
    assert (out.signals["face"][8] == 0).all()
    assert (out.signals["eda"][:8, 0, 1] == 0).all()
    assert (out.signals["eda"][8:, 0, 1] != 0).all()


def test_design_matrix_puts_everything_side_by_side():
    norm = fit_normalisation(take(FAKE, TRAIN))
    x = design_matrix(FAKE, norm)
    z = apply_normalisation(FAKE.signals, FAKE.present, norm)
    assert x.shape == (24, 6 + 4 + 1)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[:, :6], z["eda"].reshape(24, 6))
    np.testing.assert_array_equal(x[:, 6:10], z["face"].reshape(24, 4))
    np.testing.assert_array_equal(x[:, 10], FAKE.present["face"])
    everywhere = FAKE._replace(present=FAKE.present | {"face": np.ones(24, bool)})
    assert design_matrix(everywhere, norm).shape == (24, 10)


# --- constant up to rounding, missing, too large -------------------------------------------------------


def with_column(values, at=(0, 0)) -> Recordings:
    """`FAKE` with one feature of eda replaced by `values` [24]."""
    x = FAKE.signals["eda"].copy()
    x[:, *at] = values
    return FAKE._replace(signals=FAKE.signals | {"eda": x})


def test_unix_seconds_are_named_and_0_in_both_normalisers():
    # 25 minutes of seconds since 1970: float32 keeps them in steps of 128 s, their sd was 438 "z-scores".
    data = with_column(1.7e9 + np.linspace(0, 1500, 24))
    assert len(set(data.signals["eda"][:, 0, 0])) > 10
    norm = fit_normalisation(take(data, TRAIN))
    assert not apply_normalisation(data.signals, data.present, norm)["eda"][:, 0, 0].any()
    of_subjects = standardise_per_subject(data)
    assert not of_subjects.signals["eda"][:, 0, 0].any()
    for notes in (notes_on(data), notes_on_fold(norm), of_subjects.notes[-1:]):
        assert any("eda: 1 of 6 features" in note and "token 0, feature 0" in note for note in notes), notes
    assert notes_on(FAKE) == ()


def test_seconds_since_the_start_are_a_z_score():
    data = with_column(np.linspace(0, 1500, 24) + 1e6)
    z = apply_normalisation(data.signals, data.present, fit_normalisation(data))["eda"][:, 0, 0]
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_a_missing_feature_is_the_median_of_the_training_part():
    # Training values 1, 2, 6 and one that is missing: mean 3, variance 14 / 3, median 2. Test rows: 100, missing.
    values = np.float32([1, np.nan, 2, 6, 100, np.nan])
    data = take(FAKE, np.arange(6))
    data = data._replace(
        signals={"eda": np.stack([values, np.arange(6, dtype=np.float32)], 1)[:, None]},
        present={"eda": np.ones(6, bool)},
        quality={"eda": np.ones(6, np.float32)},
        groups={"eda": "physiological"},
    )
    check_recordings(data, "fake")
    norm = fit_normalisation(take(data, np.arange(4)))
    assert (norm.mean["eda"][0, 0], norm.median["eda"][0, 0]) == (3, 2)
    z = apply_normalisation(data.signals, data.present, norm)["eda"][:, 0, 0]
    np.testing.assert_allclose(z, (np.array([1, 2, 2, 6, 100, 2]) - 3) / np.sqrt(14 / 3), rtol=1e-6)
    np.testing.assert_array_equal(design_matrix(data, norm)[:, 0], z)
    assert notes_on(data)[0].startswith("eda: 2 of 12 values are missing, in 2 of 6 windows")


def test_a_missing_value_stays_missing_within_a_subject():
    x = FAKE.signals["eda"][:, 0, 0].copy()
    x[3] = np.nan
    z = standardise_per_subject(with_column(x)).signals["eda"][:, 0, 0]
    assert np.flatnonzero(np.isnan(z)).tolist() == [3]
    own = np.delete(x[:8], 3)
    np.testing.assert_allclose(np.delete(z[:8], 3), (own - own.mean()) / own.std(), rtol=1e-5)
    np.testing.assert_array_equal(z[8:], standardise_per_subject(FAKE).signals["eda"][8:, 0, 0])


def test_a_feature_that_no_training_row_has_becomes_0():
    x = FAKE.signals["eda"][:, 0, 0].copy()
    x[TRAIN] = np.nan
    data = with_column(x)
    norm = fit_normalisation(take(data, TRAIN))
    assert not apply_normalisation(data.signals, data.present, norm)["eda"][:, 0, 0].any()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.inf, "row 5: token 0, feature 0 is inf"),
        (1e38, "row 5: token 0, feature 0 is 1e+38; allowed: up to ±1e+30"),
    ],
)
def test_values_that_no_method_could_use_are_refused_by_name(value, words):
    x = FAKE.signals["eda"][:, 0, 0].copy()
    x[5] = value
    with pytest.raises(DataFileError) as caught:
        check_recordings(with_column(x), "fake")
    assert "signals['eda']" in str(caught.value) and words in str(caught.value)
    for normaliser in (fit_normalisation, standardise_per_subject):
        with pytest.raises(DataFileError, match="eda: token 0, feature 0 is .*allowed: up to"):
            normaliser(with_column(x))


def test_a_present_window_holds_a_number_and_an_absent_one_zeros():
    nothing = with_signal(FAKE, "face", 1, np.nan)  # present
    with pytest.raises(DataFileError, match=r"signals\['face'\], row 1: holds no number; mark the window"):
        check_recordings(nothing, "fake")
    with pytest.raises(DataFileError, match=r"signals\['face'\], row 0: holds NaN where it is absent"):
        check_recordings(with_signal(FAKE, "face", 0, np.nan), "fake")


# --- large modalities ---------------------------------------------------------------------------------


def wide_recordings(features=101) -> Recordings:
    x = np.random.default_rng(0).normal(3, 2, (24, 5, features)).astype(np.float32)
    x[1, :, ::7] = np.nan
    return FAKE._replace(signals=FAKE.signals | {"eda": x})


def test_blocks_of_columns_change_no_bit(monkeypatch):
    data = wide_recordings()
    norm = fit_normalisation(data)
    whole = [*norm, apply_normalisation(data.signals, data.present, norm)]
    monkeypatch.setattr(normalise, "VALUES", 100)
    norm = fit_normalisation(data)
    blocks = [*norm, apply_normalisation(data.signals, data.present, norm)]
    assert [[x.tobytes() for x in part.values()] for part in whole] == [
        [x.tobytes() for x in part.values()] for part in blocks
    ]


def test_memory_does_not_grow_to_several_copies(monkeypatch):
    data = wide_recordings(2000)
    monkeypatch.setattr(normalise, "VALUES", 4000)
    tracemalloc.start()
    norm = fit_normalisation(data)
    fitted = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    apply_normalisation(data.signals, data.present, norm)
    applied = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = data.signals["eda"].nbytes
    assert max(fitted, applied) < 3 * size, (fitted / size, applied / size)


def test_a_value_far_outside_its_feature_is_found_unless_every_training_part_has_such_values():
    spoilt = with_signal(FAKE, "eda", (5, 1, 2), 1e24)
    (far,) = normalise.far_values(with_signal(spoilt, "eda", (6, 0, 0), np.nan))
    assert (far.row, far.place) == (5, "eda: token 1, feature 2") and far.what.startswith("is 1e+24; typical")
    assert [f.row for f in normalise.far_values(with_signal(FAKE, "face", (22, 0, 3), -1e16))] == [22]
    sparse = with_signal(with_signal(FAKE, "eda", (slice(None), 0, 0), 1e-20), "eda", ([0, 9, 20], 0, 0), 3.0)
    for usual in (FAKE, sparse, with_signal(FAKE, "eda", (5, 1, 2), 1e12), with_signal(FAKE, "eda", 3, 0.0)):
        assert not list(normalise.far_values(usual))

"""Normalisation sees training rows only, and absent content never."""

import tracemalloc

import numpy as np
import pytest
from recordings_fixture import recordings_of

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
from mpcl_jax.types import DataError, Recordings, check_recordings, take

RNG = np.random.default_rng(0)
TRAIN = np.arange(16)
# Three subjects, 8 windows each, two modalities of which the second is sometimes absent.
FAKE = recordings_of(3, 4, 2, first=1)._replace(
    groups={"eda": "physiological", "face": "behavioural"},
    signals={
        "eda": RNG.normal(5, 3, (24, 2, 3)).astype(np.float32),
        "face": RNG.normal(-1, 0.1, (24, 1, 4)).astype(np.float32),
    },
    present={"eda": np.ones(24, bool), "face": np.arange(24) % 5 != 0},
    quality={"eda": np.ones(24, np.float32), "face": np.ones(24, np.float32)},
    notes=("first note",),
)
FIRST = np.s_[:, 0, 0]  # the first feature of every window


def with_signal(recordings, m, rows, value):
    x = recordings.signals[m].copy()
    x[rows] = value
    return recordings._replace(signals=recordings.signals | {m: x})


def with_first(values) -> Recordings:
    """`FAKE` with the first feature of eda replaced by `values` [24]."""
    return with_signal(FAKE, "eda", FIRST, values)


def z_of(recordings, rows=slice(None)):
    """The first feature of eda, normalised by `rows`."""
    norm = fit_normalisation(take(recordings, np.arange(24)[rows]))
    return apply_normalisation(recordings.signals, recordings.present, norm)["eda"][FIRST]


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


def test_a_present_window_holds_a_number_and_an_absent_one_zeros():
    nothing = with_signal(FAKE, "face", 1, np.nan)  # present
    with pytest.raises(DataError, match=r"signals\['face'\], row 1: holds no number; mark the window"):
        check_recordings(nothing, "fake")
    with pytest.raises(DataError, match=r"signals\['face'\], row 0: holds NaN where it is absent"):
        check_recordings(with_signal(FAKE, "face", 0, np.nan), "fake")


def test_a_value_far_outside_its_feature_is_found_unless_every_training_part_has_such_values():
    spoilt = with_signal(FAKE, "eda", (5, 1, 2), 1e24)
    (far,) = normalise.far_values(with_signal(spoilt, "eda", (6, 0, 0), np.nan))
    assert (far.row, far.place) == (5, "eda: token 1, feature 2") and far.what.startswith("is 1e+24; typical")
    assert [f.row for f in normalise.far_values(with_signal(FAKE, "face", (22, 0, 3), -1e16))] == [22]
    sparse = with_signal(with_signal(FAKE, "eda", (slice(None), 0, 0), 1e-20), "eda", ([0, 9, 20], 0, 0), 3.0)
    for usual in (FAKE, sparse, with_signal(FAKE, "eda", (5, 1, 2), 1e12), with_signal(FAKE, "eda", 3, 0.0)):
        assert not list(normalise.far_values(usual))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e7])
def test_constant_features_become_0_and_are_named(value):
    data = with_signal(FAKE, "eda", np.s_[:, 1, 2], value)
    norm = fit_normalisation(data)
    assert norm.std["eda"][1, 2] == np.inf and (norm.std["eda"][0] > 2).all()
    other = with_signal(data, "eda", slice(16, 24), 5.0)  # in the test part, where it may be anything
    assert not apply_normalisation(other.signals, other.present, norm)["eda"][:, 1, 2].any()
    (note,) = notes_on_fold(norm)
    assert note.startswith("eda: 1 of 6 features") and note.endswith("(token 1, feature 2)")


def test_unix_seconds_are_named_and_0_in_both_normalisers():
    # 25 minutes of seconds since 1970: float32 keeps them in steps of 128 s, their sd was 438 "z-scores".
    data = with_first(1.7e9 + np.linspace(0, 1500, 24))
    assert len(set(data.signals["eda"][FIRST])) > 10
    of_subjects = standardise_per_subject(data)
    assert not z_of(data, TRAIN).any() and not of_subjects.signals["eda"][FIRST].any()
    norm = fit_normalisation(take(data, TRAIN))
    for notes in (notes_on(data), notes_on_fold(norm), of_subjects.notes[-1:]):
        assert any("eda: 1 of 6 features" in note and "token 0, feature 0" in note for note in notes), notes
    assert notes_on(FAKE) == ()
    z = z_of(with_first(np.linspace(0, 1500, 24) + 1e6))  # seconds since the start vary enough
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_every_subject_is_standardised_by_its_own_rows_with_a_note():
    present = FAKE.present["face"].copy()
    present[8:16] = np.arange(8) == 0  # S2 keeps one window of face
    data = FAKE._replace(present=FAKE.present | {"face": present})
    data = with_signal(data, "eda", np.s_[:8, 0, 1], 3.3)  # constant within S1
    data = with_signal(data, "eda", (3, 0, 0), np.nan)
    out = standardise_per_subject(data)
    eda, face = out.signals["eda"], out.signals["face"]
    own = np.delete(FAKE.signals["eda"][:8, 0, 0], 3)
    np.testing.assert_allclose(np.delete(eda[:8, 0, 0], 3), (own - own.mean()) / own.std(), rtol=1e-5)
    assert np.argwhere(np.isnan(eda)).tolist() == [[3, 0, 0]]  # what is missing stays missing
    assert not eda[:8, 0, 1].any() and eda[8:, 0, 1].all() and not face[8].any() and not face[~present].any()
    np.testing.assert_allclose([eda[16:].mean(0), eda[16:].std(0) - 1], np.zeros((2, 2, 3)), atol=1e-4)
    moved = standardise_per_subject(with_signal(data, "eda", slice(16, 24), data.signals["eda"][16:] ** 2))
    np.testing.assert_array_equal(moved.signals["eda"][:16], eda[:16])
    assert np.abs(moved.signals["eda"][16:] - eda[16:]).max() > 0.1
    assert out.notes[0] == "first note" and "whole recording" in out.notes[1]


def test_design_matrix_puts_everything_side_by_side():
    norm = fit_normalisation(take(FAKE, TRAIN))
    x, z = design_matrix(FAKE, norm), apply_normalisation(FAKE.signals, FAKE.present, norm)
    assert x.shape == (24, 6 + 4 + 1) and x.dtype == np.float32
    np.testing.assert_array_equal(x[:, :6], z["eda"].reshape(24, 6))
    np.testing.assert_array_equal(x[:, 6:10], z["face"].reshape(24, 4))
    np.testing.assert_array_equal(x[:, 10], FAKE.present["face"])
    everywhere = FAKE._replace(present=FAKE.present | {"face": np.ones(24, bool)})
    assert design_matrix(everywhere, norm).shape == (24, 10)


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
    z = apply_normalisation(data.signals, data.present, norm)["eda"][FIRST]
    np.testing.assert_allclose(z, (np.array([1, 2, 2, 6, 100, 2]) - 3) / np.sqrt(14 / 3), rtol=1e-6)
    np.testing.assert_array_equal(design_matrix(data, norm)[:, 0], z)
    assert notes_on(data)[0].startswith("eda: 2 of 12 values are missing, in 2 of 6 windows")
    never = with_signal(FAKE, "eda", (TRAIN, 0, 0), np.nan)
    assert not z_of(never, TRAIN).any()  # a feature that no training row has becomes 0


@pytest.mark.parametrize(
    ("value", "words"), [(np.inf, "is inf"), (1e38, "is 1e+38; allowed: up to ±1e+30")], ids=["inf", "1e38"]
)
def test_values_that_no_method_could_use_are_refused_by_name(value, words):
    data = with_signal(FAKE, "eda", (5, 0, 0), value)
    with pytest.raises(DataError) as caught:
        check_recordings(data, "fake")
    assert f"signals['eda'], row 5: token 0, feature 0 {words}" in str(caught.value)
    for normaliser in (fit_normalisation, standardise_per_subject):
        with pytest.raises(DataError, match="eda: token 0, feature 0 is .*allowed: up to"):
            normaliser(data)


def test_large_modalities_are_read_in_blocks_without_a_changed_bit_and_in_little_memory(monkeypatch):
    x = np.random.default_rng(0).normal(3, 2, (24, 5, 2000)).astype(np.float32)
    x[1, :, ::7] = np.nan
    data, found = FAKE._replace(signals=FAKE.signals | {"eda": x}), []
    for values in (normalise.VALUES, 4000):
        monkeypatch.setattr(normalise, "VALUES", values)
        tracemalloc.start()
        norm = fit_normalisation(data)
        parts = [*norm, apply_normalisation(data.signals, data.present, norm)]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        found.append([x.tobytes() for part in parts for x in part.values()])
    assert found[0] == found[1] and peak < 4 * x.nbytes, peak / x.nbytes

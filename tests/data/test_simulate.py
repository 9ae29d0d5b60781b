"""The simulated world: what was planted is really in the recordings, and a learner can find it."""

import dataclasses

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from mpcl_jax import metrics
from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.data.dmer.files import EMOTIONS
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.labels import cooccurrence_of, evidence_of
from mpcl_jax.types import GROUPS

SMALL = SimulateConfig(subjects=6, clips=5, windows=2)
WORLD, TRUTH = simulate(SimulateConfig())


def test_shapes_names_and_ids_of_the_defaults():
    assert {m: x.shape for m, x in WORLD.signals.items()} == {
        "eeg": (1728, 18, 5),
        "gsr": (1728, 1, 28),
        "ppg": (1728, 1, 27),
        "video": (1728, 1, 32),
    }
    assert all(x.dtype == np.float32 for x in WORLD.signals.values())
    assert WORLD.groups == dict.fromkeys(("eeg", "gsr", "ppg"), "physiological") | {"video": "behavioural"}
    assert WORLD.emotions == EMOTIONS
    assert WORLD.valence == ("positive",) * 5 + ("negative",) * 5
    assert [len(set(ids)) for ids in (WORLD.subject, WORLD.stimulus, WORLD.trial)] == [24, 24, 576]
    assert (WORLD.subject[3], WORLD.trial[3], WORLD.stimulus[3]) == ("P01", "P01/clip02", "clip02")
    assert WORLD.start[:4].tolist() == [0, 10, 20, 0]
    recordings, truth = simulate(dataclasses.replace(SMALL, emotions=7, prototypes=3))
    assert recordings.labels.shape == (60, 7)
    assert all(p.shape == (7, 3, 16) for p in truth.prototypes.values())
    one, two, other = (simulate(dataclasses.replace(SMALL, seed=seed))[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.signals["video"], two.signals["video"])
    assert np.abs(one.labels - other.labels).max() > 0.01  # the seed decides everything


def test_one_report_per_trial_of_floor_heavy_ratings():
    ratings = WORLD.labels / WORLD.labels.min(1, keepdims=True)
    # A row without a 1 would not divide into whole ratings by its minimum: there are hardly any.
    whole = np.abs(ratings - ratings.round()).max(1) < 1e-4
    assert whole.mean() > 0.97
    assert 0.5 < (ratings[whole].round() == 1).mean() < 0.7
    assert ratings[whole].max() == pytest.approx(5, abs=1e-4)
    assert (TRUTH.evidence.sum(1) == 0).mean() < 0.02
    _, first, trial = np.unique(WORLD.trial, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(WORLD.labels, WORLD.labels[first][trial])
    assert len(np.unique(WORLD.labels, axis=0)) > 300


def test_same_valence_occurs_together_and_the_planted_pairs_most():
    side = np.arange(10) < 5
    same = (side[:, None] == side) & ~np.eye(10, dtype=bool)
    assert TRUTH.cooccurrence.sum() == pytest.approx(1)
    assert TRUTH.cooccurrence[same].mean() > 1.3 * TRUTH.cooccurrence[side[:, None] != side].mean()
    for i, j in ((0, 1), (5, 6)):
        assert TRUTH.cooccurrence[i, j] > 1.2 * np.median(TRUTH.cooccurrence[same])
    across = np.where(side[:, None] & ~side, TRUTH.cooccurrence, 0)
    assert np.unravel_index(across.argmax(), across.shape) == (4, 9)
    assert (TRUTH.correlation[same] > 0).all()
    reported, apart = cooccurrence_of(evidence_of(WORLD.labels.astype(np.float64))), ~np.eye(10, dtype=bool)
    assert np.corrcoef(reported[apart], TRUTH.cooccurrence[apart])[0, 1] > 0.97


def test_an_emotion_uses_the_same_slot_in_both_groups():
    np.testing.assert_allclose(TRUTH.evidence, evidence_of(WORLD.labels.astype(np.float64)), atol=1e-6)
    for group in GROUPS:
        bank = TRUTH.prototypes[group]
        np.testing.assert_allclose(np.linalg.norm(bank, axis=-1), 1)
        for row in (0, 700, 1727):
            parts = [TRUTH.evidence[row, c] * bank[c, TRUTH.slot[row, c]] for c in range(10)]
            np.testing.assert_allclose(TRUTH.state[group][row], np.sum(parts, 0), atol=1e-12)
    assert set(TRUTH.slot.ravel()) == {0, 1}
    assert np.abs(TRUTH.prototypes["physiological"] - TRUTH.prototypes["behavioural"]).max() > 0.1


def test_without_noise_and_effects_of_subjects_the_signals_are_the_mixed_state():
    recordings, truth = simulate(dataclasses.replace(SMALL, noise=0.0, subject_effect=0.0))
    for m, x in recordings.signals.items():
        mixed = truth.state[recordings.groups[m]] @ truth.mixing[m]
        np.testing.assert_allclose(x.reshape(60, -1), mixed, atol=1e-5)
        assert mixed.std() == pytest.approx(1)


def test_missing_modalities_are_zero_and_one_always_stays():
    recordings, _ = simulate(SimulateConfig(subjects=20, clips=20, windows=2, missing=0.9))
    present = np.stack(list(recordings.present.values()), 1)
    assert present.any(1).all()
    # .1 survive by themselves; a row without any (.9⁴ = .66) gets one of four back: .1 + .66 / 4 = .264.
    assert present.mean() == pytest.approx(0.264, abs=0.02)
    assert (present.mean(0) > 0.2).all()
    for m, x in recordings.signals.items():
        assert (x[~recordings.present[m]] == 0).all()
        assert (x[recordings.present[m]] != 0).all()


def test_what_is_planted_can_be_learned_but_not_by_a_linear_map():
    fold = make_split(WORLD, ProtocolConfig()).folds[0]
    labels = WORLD.labels.astype(np.float64)
    x = np.concatenate([s.reshape(len(labels), -1) for s in WORLD.signals.values()], 1)
    x = (x - x[fold.train].mean(0)) / x[fold.train].std(0)
    logs = np.log(labels) - np.log(labels).mean(1, keepdims=True)

    def test_kl(predicted):
        return metrics.kl(labels[fold.test], predicted / predicted.sum(1, keepdims=True)).mean()

    constant = test_kl(np.broadcast_to(labels[fold.train].mean(0), labels[fold.test].shape))
    linear = test_kl(np.exp(Ridge(alpha=1000).fit(x[fold.train], logs[fold.train]).predict(x[fold.test])))
    kernel = KernelRidge(alpha=0.1, kernel="rbf", gamma=0.5 / x.shape[1]).fit(x[fold.train], logs[fold.train])
    curved = test_kl(np.exp(kernel.predict(x[fold.test])))
    assert 0.10 < constant < 0.14
    assert linear < 0.8 * constant
    assert curved < 0.75 * linear

"""Modality dropout and mixup: rates, golden values, and what they leave unchanged."""

import jax
import numpy as np
from tiny_model import SPEC, quick_jit, same_bits, tiny_batch

from mpcl_jax.config.schema import TrainConfig
from mpcl_jax.train.augment import drop_modalities, mix_samples, mixing_shares

KEY = jax.random.key(3, impl="rbg")  # the generator of a run: train/run.py

# Modality dropout.

GROUPS = dict(SPEC.groups)
SIZE = 40_000


def hidden(settings, batch, groups=GROUPS, key=KEY):
    """Presence {modality: [B]} after modality dropout, as NumPy."""
    made = quick_jit(lambda key, batch: drop_modalities(key, batch, groups, settings))(key, batch)
    others = made._replace(present=batch.present)
    assert same_bits(others, batch)  # nothing else is touched
    return {m: np.asarray(x) for m, x in made.present.items()}


def many(**present):
    everything = {m: np.ones(SIZE, bool) for m in GROUPS} | present
    batch = tiny_batch(1)._replace(present=everything, signals={}, labels=None)
    return batch._replace(weight=np.ones(SIZE, np.float32))


def test_how_often_modalities_are_hidden():
    """Kept: (1 − p)(1 − q/2), or given back because all would be lost.

    With p = .3, q = .4, two physiological and one behavioural modality, all is lost with probability
    (1 − q) p³ + q/2 · p + q/2 · p² = .0162 + .06 + .018 = .0942.
    """
    there = hidden(TrainConfig(modality_dropout=0.3, group_dropout=0.4), many())
    for m in GROUPS:
        np.testing.assert_allclose(there[m].mean(), 0.7 * 0.8 + 0.0942, atol=0.01)
    assert np.stack(list(there.values())).any(axis=0).all()
    # Singles are hidden independently of one another: P(eda and bvp) = .8 · .49 + .0942.
    np.testing.assert_allclose((there["eda"] & there["bvp"]).mean(), 0.8 * 0.49 + 0.0942, atol=0.01)


def test_groups_are_hidden_whole_by_a_fair_coin():
    there = hidden(TrainConfig(modality_dropout=0.0, group_dropout=0.4), many())
    assert (there["eda"] == there["bvp"]).all()
    assert (there["eda"] | there["face"]).all()
    np.testing.assert_allclose([1 - there["eda"].mean(), 1 - there["face"].mean()], 0.2, atol=0.01)


def test_a_sample_never_loses_everything_and_what_is_absent_stays_absent():
    away = {"eda": np.zeros(SIZE, bool), "face": np.arange(SIZE) % 2 == 0}
    there = hidden(TrainConfig(modality_dropout=0.9, group_dropout=0.9), many(**away))
    assert not there["eda"].any() and not there["face"][1::2].any()
    assert there["bvp"][1::2].all()  # all that these samples have
    assert (there["bvp"] | there["face"]).all()
    assert not there["bvp"][::2].all() and not there["face"][::2].all()


# Mixup.


def mixed(batch, alpha=0.4, key=KEY):
    return quick_jit(lambda key, batch: mix_samples(key, batch, alpha))(key, batch)


def numbered(size=1000, **present):
    """Sample i holds the number i in every feature, and a label of which the first entry is i / size."""
    number = np.arange(size, dtype=np.float32)
    signals = {m: np.tile(number[:, None, None], (1, *shape)) for m, shape in SPEC.shapes.items()}
    share = number[:, None] / size
    there = {m: np.ones(size, bool) for m in SPEC.shapes} | present
    labels = np.concatenate([share, 1 - share, 0 * share, 0 * share], axis=1)
    weight = np.ones(size, np.float32)
    return tiny_batch(1)._replace(signals=signals, present=there, labels=labels, weight=weight)


def test_signals_and_labels_are_mixed_with_the_same_shares_of_the_same_partner():
    batch = numbered()
    made = mixed(batch)
    values = [np.asarray(x).reshape(1000, -1) for x in made.signals.values()]
    for x in values:
        np.testing.assert_allclose(x, np.repeat(values[0][:, :1], x.shape[1], axis=1), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(made.labels)[:, 0], values[0][:, 0] / 1000, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(made.labels).sum(1), 1.0, rtol=1e-5)
    assert (np.asarray(made.signals["eda"]) != batch.signals["eda"]).mean() > 0.5


def test_samples_of_other_modalities_or_weight_are_no_partners():
    away = np.arange(1000) % 2 == 0
    batch = numbered(bvp=~away)
    batch.signals["bvp"][away] = np.nan
    batch = batch._replace(weight=(np.arange(1000) < 900).astype(np.float32))
    batch.signals["face"][900:] = -1e6
    made = mixed(batch)
    assert same_bits((made.present, made.weight), (batch.present, batch.weight))
    assert np.isfinite(np.asarray(made.signals["bvp"])[~away]).all()
    assert (np.asarray(made.signals["face"])[:900] >= 0).all()


def test_without_mixup_the_batch_is_left_alone():
    batch = numbered()
    assert mix_samples(KEY, batch, 0.0) is batch
    assert same_bits(mixed(batch), mixed(batch))
    assert not same_bits(mixed(batch), mixed(batch, key=jax.random.key(4, impl="rbg")))


def test_shares_follow_their_beta_distribution():
    """At alpha = ½, λ = sin²(πU/2), so the quartiles of max(λ, 1 − λ) are sin²(π/2 · (½ + q/2)): .691, .854, .962."""
    drawn = np.asarray(quick_jit(lambda key: mixing_shares(key, 0.5, 100_000))(KEY))
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), [0.6913, 0.8536, 0.9619], atol=0.004)


def test_group_dropout_leaves_a_data_set_with_one_group_alone():
    one = {"eda": "physiological", "bvp": "physiological"}
    batch = many()._replace(present={m: np.ones(SIZE, bool) for m in one})
    found, without = (
        hidden(TrainConfig(modality_dropout=0.5, group_dropout=share), batch, groups=one)
        for share in (0.9, 0.0)
    )
    assert same_bits(found, without)

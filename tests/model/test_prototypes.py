"""The memory moves by evidence only, as calculated by hand, and what is no evidence moves no bit."""

import functools

import jax
import numpy as np
import pytest
from tiny_model import changed, memory, quick_jit, same_bits, unit_rows

from mpcl_jax.config.model import MemoryConfig
from mpcl_jax.model.outputs import Prototypes
from mpcl_jax.model.prototypes import init_prototypes, update_prototypes

pytestmark = pytest.mark.usefixtures("strict_shapes")

NOISE = MemoryConfig(
    slots=2, momentum=0.9, usage_momentum=0.9, start="noise", reseed_below=0.0, evidence_power=1.0
)
EVIDENCE = changed(NOISE, start="evidence")


@functools.cache
def updater(settings):
    return quick_jit(functools.partial(update_prototypes, settings=settings))


def update(settings, prototypes, query, labels, weight=None, present=None):
    """`update_prototypes` with weight 1 and everything present by default."""
    size = len(labels)
    weight = np.ones(size, np.float32) if weight is None else weight
    present = np.ones((size, 2), bool) if present is None else present
    return jax.tree.map(np.asarray, updater(settings)(prototypes, query, labels, weight, present))


def samples(size=4, seed=5):
    """Unit queries [B, 2, 8] and labels [B, 4]."""
    rng = np.random.default_rng(seed)
    labels = 0.05 + rng.random((size, 4))
    labels = labels / labels.sum(1, keepdims=True)
    return unit_rows(rng.normal(size=(size, 2, 8))), labels.astype(np.float32)


def small_memory(bank, mass=1.0):
    """A memory around `bank` [2, C, K, D], uniform otherwise."""
    bank = np.asarray(bank, np.float32)
    c, k = bank.shape[1:3]
    return Prototypes(
        bank,
        np.full((2, c, k), mass, np.float32),
        np.full((c, k), 0.2, np.float32),
        np.full((c, c), 1.0 / c**2, np.float32),
    )


# Start.


def test_the_memory_starts_empty_with_unit_rows():
    made = quick_jit(lambda key: init_prototypes(key, groups=2, emotions=3, slots=2, width=5))(
        jax.random.key(0)
    )
    assert [x.shape for x in made] == [(2, 3, 2, 5), (2, 3, 2), (3, 2), (3, 3)]
    np.testing.assert_allclose(np.linalg.norm(made.bank, axis=-1), 1.0, rtol=1e-5)
    assert not np.asarray(made.mass).any() and not np.asarray(made.usage).any()
    np.testing.assert_allclose(made.cooccurrence, 1 / 9, rtol=1e-6)
    assert len(np.unique(np.asarray(made.bank).reshape(-1, 5), axis=0)) == 12


# The momentum update.

# Two samples, three emotions, one slot, momentum .5; both groups see the same queries.
#   e_1 = (.75, .25, 0), q_1 = (1, 0)      e_2 = (0, 1, 0), q_2 = (0, 1)
#   masses (.75, 1.25, 0), kept (.5^.75, .5, 1), .5^.75 = .594604
#   emotion 0, from (0, 1): .594604 (0, 1) + .405396 (1, 0), length .719649 -> (.563324, .826241)
#   emotion 1, from (1, 0): mean (.25 (1, 0) + (0, 1)) / 1.25 = (.2, .8); ½ (1, 0) + ½ (.2, .8) = (.6, .4)
#                           length √.52 -> (.832050, .554700)
#   usage, with its own momentum ¾: ¾ · .2 + ¼ · (.75, 1.25, 0) / 2 samples = (.24375, .30625, .15)
#   Σ e eᵀ = (.5625, .1875, 0 | .1875, 1.0625, 0 | 0), sum 2; half of it, plus half of 1/9
GOLDEN_BANK = [[(0.0, 1.0)], [(1.0, 0.0)], [(0.6, 0.8)]]
GOLDEN_LABELS = np.float32([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2]])
GOLDEN_QUERY = np.float32([[(1.0, 0.0)] * 2, [(0.0, 1.0)] * 2])
GOLDEN_SETTINGS = MemoryConfig(slots=1, momentum=0.5, usage_momentum=0.75, start="noise", evidence_power=1.0)


def test_golden_update():
    before = small_memory([GOLDEN_BANK, GOLDEN_BANK])
    after = update(GOLDEN_SETTINGS, before, GOLDEN_QUERY, GOLDEN_LABELS)
    for group in (0, 1):
        np.testing.assert_allclose(after.bank[group, 0, 0], [0.563324, 0.826241], atol=1e-5)
        np.testing.assert_allclose(after.bank[group, 1, 0], [0.832050, 0.554700], atol=1e-5)
        assert same_bits(after.bank[group, 2], before.bank[group, 2])
        np.testing.assert_allclose(after.mass[group, :, 0], [1.75, 2.25, 1.0], rtol=1e-6)
    np.testing.assert_allclose(after.usage[:, 0], [0.24375, 0.30625, 0.15], rtol=1e-5)
    pairs = np.array([[0.5625, 0.1875, 0.0], [0.1875, 1.0625, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(after.cooccurrence, 0.5 * pairs / 2 + 0.5 / 9, rtol=1e-5)


# Power 2, the same samples: squares (.5625, .0625, 0) and (0, 1, 0), masses (.5625, 1.0625, 0).
#   emotion 1: mean (.0625 (1, 0) + (0, 1)) / 1.0625 = (.058824, .941176); ½ (1, 0) + ½ of it = (.529412, .470588),
#   length .708331 -> (.747407, .664363). What occurs with what is counted with the evidence itself.
def test_a_power_of_the_evidence_gives_clear_samples_more_weight():
    settings, before = changed(GOLDEN_SETTINGS, evidence_power=2.0), small_memory([GOLDEN_BANK, GOLDEN_BANK])
    after = update(settings, before, GOLDEN_QUERY, GOLDEN_LABELS)
    np.testing.assert_allclose(after.bank[0, 1, 0], [0.747407, 0.664363], atol=1e-5)
    np.testing.assert_allclose(after.mass[0, :, 0], [1.5625, 2.0625, 1.0], rtol=1e-6)
    plain = update(GOLDEN_SETTINGS, before, GOLDEN_QUERY, GOLDEN_LABELS)
    assert same_bits(after.cooccurrence, plain.cooccurrence)


def test_the_first_evidence_is_taken_whole():
    after = update(GOLDEN_SETTINGS, small_memory([GOLDEN_BANK] * 2, mass=0.0), GOLDEN_QUERY, GOLDEN_LABELS)
    np.testing.assert_allclose(after.usage[:, 0], [0.375, 0.625, 0.0], rtol=1e-5)
    np.testing.assert_allclose(after.cooccurrence[0], [0.28125, 0.09375, 0.0], rtol=1e-5)
    evidence = changed(GOLDEN_SETTINGS, start="evidence")  # and by the banks: unit((1, 0)), unit((.2, .8))
    after = update(evidence, small_memory([GOLDEN_BANK] * 2, mass=0.0), GOLDEN_QUERY, GOLDEN_LABELS)
    np.testing.assert_allclose(after.bank[0, :2, 0], [[1, 0], [0.242536, 0.970143]], atol=1e-5)


@pytest.mark.parametrize("start", ["noise", "evidence"])
def test_momentum_one_moves_nothing(start):
    settings = changed(NOISE, momentum=1.0, start=start, reseed_below=0.5)
    before = memory()._replace(usage=np.float32([[0.2, 0.0]] * 4))
    assert same_bits(update(settings, before, *samples()), before)
    empty = before._replace(mass=np.zeros((2, 4, 2), np.float32))
    assert same_bits(update(settings, empty, *samples()), empty)


@pytest.mark.parametrize("settings", [NOISE, EVIDENCE])
def test_rows_without_evidence_keep_every_bit_and_all_rows_are_unit(settings):
    # Emotions 2 and 3 share the floor; slot 1 of emotion 0 is too far away to get any share in float32.
    query, _ = samples()
    query[:] = query[:1]
    labels = np.tile(np.float32([[0.5, 0.3, 0.1, 0.1]]), (4, 1))
    before = memory()
    bank = np.asarray(before.bank).copy()
    bank[:, 0, 0], bank[:, 0, 1] = query[0], -query[0]
    longer = bank * np.float32([1, 1, 1.001, 1.001])[None, :, None, None]  # would show a needless `unit`
    after = update(settings, before._replace(bank=longer), query, labels)
    assert same_bits(after.bank[:, 2:], longer[:, 2:])
    assert same_bits(after.mass[:, 2:], before.mass[:, 2:])
    assert same_bits(after.bank[:, 0, 1], bank[:, 0, 1])
    assert (np.asarray(after.bank)[:, 1] != bank[:, 1]).any(axis=(1, 2)).all()
    np.testing.assert_allclose(np.linalg.norm(after.bank[:, :2], axis=-1), 1.0, rtol=1e-5)


def test_evidence_without_direction_keeps_the_row():
    """Zero queries, as an untrained model makes of zero signals, must not turn rows into zeros."""
    query, labels = samples()
    for empty in (memory(), memory()._replace(mass=np.zeros((2, 4, 2), np.float32))):
        after = update(EVIDENCE, empty, np.zeros_like(query), labels)
        np.testing.assert_allclose(np.linalg.norm(after.bank, axis=-1), 1.0, rtol=1e-5)


# One slot that remembers 3 samples' worth of (0, 1), one new sample (1, 0) with evidence 1, momentum .99:
# the running mean keeps 3 / (3 + 1) = .75: (.25, .75), length .790569 -> (.316228, .948683).
# From noise the momentum alone counts: (.01, .99) / .990051 -> (.010101, .999949).
@pytest.mark.parametrize("start, row", [("evidence", (0.316228, 0.948683)), ("noise", (0.010101, 0.999949))])
def test_evidence_start_is_a_running_mean_at_first(start, row):
    settings = MemoryConfig(slots=1, momentum=0.99, start=start, evidence_power=1.0)
    before = small_memory([[[(0.0, 1.0)], [(1.0, 0.0)]]] * 2, mass=3.0)
    after = update(settings, before, GOLDEN_QUERY[:1], np.float32([[0.8, 0.2]]))
    np.testing.assert_allclose(after.bank[:, 0, 0], [row, row], atol=1e-5)
    np.testing.assert_allclose(after.mass[:, :, 0], [[4.0, 3.0]] * 2, rtol=1e-6)


def test_the_running_mean_ends_where_momentum_is_slower():
    """After 1000 samples 1000/1001 > .9, so momentum .9 decides: both starts agree bit for bit."""
    old = memory()._replace(mass=np.full((2, 4, 2), 1000.0, np.float32))
    assert same_bits(update(EVIDENCE, old, *samples()).bank, update(NOISE, old, *samples()).bank)


# Assignment to slots.

# One sample, two slots: similarities of the physiological group (1, 0), of the behavioural group (.8, 0).
# At assignment temperature T = .9 / ln 3: paired, mean (.9, 0): 3 : 1, so (.75, .25) in both groups.
# Unpaired: 3^(1/.9) : 1 = 3.389 : 1, so .77217; 3^(.8/.9) : 1 = 2.6553 : 1, so .72642.
SHARED_BANK = [[[(1.0, 0.0), (0.0, 1.0)]] * 2, [[(0.6, 0.8), (1.0, 0.0)]] * 2]
SHARED_QUERY = np.float32([[(1.0, 0.0), (0.0, 1.0)]])
SHARING = changed(NOISE, assign_temperature=0.9 / np.log(3.0))


def shares(settings, present=((True, True),)):
    """Share of slot 0 of emotion 0 in both groups, by the mass that it gained."""
    before = small_memory(SHARED_BANK)
    after = update(settings, before, SHARED_QUERY, np.float32([[0.7, 0.3]]), present=np.array(present))
    return np.asarray(after.mass - before.mass)[:, 0]


@pytest.mark.parametrize(
    "changes, gained",
    [
        ({}, [[0.75, 0.25]] * 2),
        ({"temperature": 3.0}, [[0.75, 0.25]] * 2),  # that of reading
        ({"paired": False}, [[0.77217, 0.22783], [0.72642, 0.27358]]),
    ],
)
def test_paired_banks_share_one_assignment_and_unpaired_ones_do_not(changes, gained):
    np.testing.assert_allclose(shares(changed(SHARING, **changes)), gained, atol=1e-4)


def test_an_absent_group_is_no_evidence_and_has_no_part_in_assignment():
    np.testing.assert_allclose(
        shares(SHARING, present=((True, False),)), [[0.77217, 0.22783], [0.0, 0.0]], atol=1e-4
    )
    query, labels = samples()
    present = np.ones((4, 2), bool)
    present[:, 1] = False
    before = memory()
    after = update(NOISE, before, query, labels, present=present)
    assert same_bits(after.bank[1], before.bank[1]) and same_bits(after.mass[1], before.mass[1])
    assert not same_bits(after.bank[0], before.bank[0])


# What must not matter.


def test_flat_labels_are_counted_but_stored_nowhere():
    query, _ = samples()
    after = update(EVIDENCE, memory(), query, np.full((4, 4), 0.25, np.float32))
    assert same_bits(after._replace(usage=memory().usage), memory())
    np.testing.assert_allclose(after.usage, 0.9 * memory().usage, rtol=1e-6)


def test_counts_stay_normalised():
    """Usage is evidence per sample, the co-occurrence symmetric with sum 1; one of four labels is flat."""
    query, labels = samples()
    labels[3] = 0.25
    after = update(NOISE, memory()._replace(mass=np.zeros((2, 4, 2), np.float32)), query, labels)
    np.testing.assert_allclose(after.usage.sum(), 0.75, rtol=1e-5)
    for made in (after, update(NOISE, memory(), query, labels)):
        np.testing.assert_allclose(made.cooccurrence.sum(), 1.0, rtol=1e-5)
        np.testing.assert_allclose(made.cooccurrence, made.cooccurrence.T, rtol=1e-6)


# Dead slots.

# Emotion 0: slot 0 lies on the queries, slot 1 opposite: it gets nothing, its usage sinks to 0. The other
# emotions keep theirs. Samples 1 and 2 lie 60° and 80° off slot 0 in both groups; their evidence for emotion 0
# is 1 and .25, so 1 · (1 - .5) = .5 against .25 · (1 - .17) = .21: sample 1 is the seed.
# Sample 3 would be worse explained still, but its behavioural group is absent.
RESEEDING = changed(NOISE, assign_temperature=1e-3, reseed_below=0.02)
RESEED_LABELS = np.float32(
    [[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.25, 0.75, 0.0, 0.0], [0.7, 0.1, 0.1, 0.1]]
)
RESEED_PRESENT = np.array([[True, True], [True, True], [True, True], [True, False]])


def reseed_world():
    angles = np.radians([0.0, 60.0, 80.0, 85.0])
    plane = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query = np.zeros((4, 2, 8), np.float32)
    query[:, 0, :2] = plane
    query[:, 1, 2:4] = plane
    bank = np.asarray(memory().bank).copy()
    bank[0, 0], bank[1, 0] = 0.0, 0.0
    bank[0, 0, :, 0] = bank[1, 0, :, 2] = [1.0, -1.0]
    usage = np.full((4, 2), 0.1, np.float32)
    usage[0, 1] = 0.0
    return memory()._replace(bank=bank, usage=usage), query


def test_a_dead_slot_gets_the_worst_explained_sample():
    before, query = reseed_world()
    calm = update(changed(RESEEDING, reseed_below=0.0), before, query, RESEED_LABELS, present=RESEED_PRESENT)
    after = update(RESEEDING, before, query, RESEED_LABELS, present=RESEED_PRESENT)
    assert same_bits(after.bank[:, 0, 1], query[1])
    np.testing.assert_allclose(after.mass[:, 0, 1], 1.0, rtol=1e-6)  # sample 1's evidence
    np.testing.assert_allclose(after.usage[0, 1], calm.usage[0].mean(), rtol=1e-6)
    elsewhere = np.ones((4, 2), bool)
    elsewhere[0, 1] = False
    for name in ("bank", "mass"):
        assert same_bits(getattr(after, name)[:, elsewhere], getattr(calm, name)[:, elsewhere])
    assert same_bits(after.usage[elsewhere], calm.usage[elsewhere])
    assert same_bits(after.cooccurrence, calm.cooccurrence)


# Emotion 0 uses slot 0 alone from the first batch on: the usage of slot 1 is .1 · μ_u^n after n batches, that of slot
# 0 near 1. Dead, i.e. below .02 times their mean of about .5, it is where .1 μ_u^n < .01: from batch 22 on with
# μ_u = .9, from batch 230 on with .99.
@pytest.mark.parametrize("usage_momentum, found", [(0.9, True), (0.99, False)])
def test_a_dead_slot_is_found_as_soon_as_usage_forgets(usage_momentum, found):
    before, query = reseed_world()
    usage = np.asarray(before.usage).copy()
    usage[0] = [1.0, 0.1]
    state = before._replace(usage=usage)
    labels, present = RESEED_LABELS[:2], np.ones((2, 2), bool)
    settings = changed(RESEEDING, usage_momentum=usage_momentum)
    for _ in range(30):
        state = update(settings, state, query[:2], labels, present=present)
    assert same_bits(state.bank[:, 0, 1], before.bank[:, 0, 1]) != found


def test_without_complete_samples_nothing_is_reseeded():
    before, query = reseed_world()
    after = update(RESEEDING, before, query, RESEED_LABELS, present=np.array([[True, False]] * 4))
    assert same_bits(after.bank[:, 0, 1], before.bank[:, 0, 1])

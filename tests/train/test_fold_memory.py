"""The memory of a fold: no later report takes part, n = 0 changes nothing, and the file keeps everything."""

import numpy as np
import pytest
from styled_subjects import styled_subjects

from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.config.schema import BenchmarkConfig
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation import comparison
from mpcl_jax.evaluation.comparison import predict_fold
from mpcl_jax.model.recall_kernel import OtherSubjects, RecallKernel
from mpcl_jax.train.fold_memory import (
    ALL,
    NONE,
    adapted_shares,
    learn_memory,
    load_memory,
    memories_of,
    predict_after,
    save_memory,
    simplest,
    too_few,
)
from mpcl_jax.train.memory_fit import OTHERS, WITH_OTHERS
from mpcl_jax.train.sequences import HeldOut, kl_of_subjects, predict_in_sequence, sequences_of
from mpcl_jax.types import DataError

STYLED = styled_subjects()


@pytest.fixture(scope="module")
def of_fold():
    """A fold of `sequential`, and the memory of ridge in it."""
    fold = make_split(STYLED, ProtocolConfig(kind="sequential", folds=3)).folds[0]
    found = predict_fold(STYLED, "sequential", fold, ("ridge",), BenchmarkConfig(tries=1), 0)
    return fold, found.memories["ridge"]


def held_out(memory, labels=STYLED.labels):
    ids = (x[memory.rows] for x in (labels, STYLED.subject, STYLED.trial))
    return HeldOut(memory.tested.views, memory.tested.log_probs, *ids)


def test_the_memory_is_learned_on_training_subjects_and_helps(of_fold):
    fold, memory = of_fold
    every = {"mean residual", "features", "own log p", ALL}
    assert set(memory.learned) == every == set(memories_of(memory.tested.views, False))
    assert set(memory.subjects) == set(STYLED.subject[fold.train])
    assert memory.chosen != NONE and memory.reason.startswith("on: ")
    lowest = min(found.kl for found in memory.learned.values())
    assert memory.learned[memory.chosen].kl < 1.05 * lowest
    sequences = sequences_of(held_out(memory), ())
    before = kl_of_subjects(sequences.log_probs, sequences).mean()
    after = adapted_shares(memory, memory.rows, None)
    y = STYLED.labels[memory.rows].astype(float)
    assert (y * np.log(y / after)).sum(1).mean() < 0.6 * before


@pytest.mark.parametrize(
    "of_mean, of_all, chosen",
    [
        ([0.91, 0.87, 1.90, 2.89], [0.8, 0.9, 1.9, 2.9], "mean residual"),
        ([1.00, 1.00, 2.00, 3.00], [0.8, 0.9, 1.9, 2.9], "own log p"),  # of two single views the better one
        ([1.00, 1.00, 2.00, 3.00], [0.7, 0.7, 1.7, 2.7], ALL),
    ],
)
def test_the_simplest_memory_within_one_standard_error_is_chosen(of_mean, of_all, chosen):
    kl = {"mean residual": of_mean, "features": [0.90, 0.89, 1.90, 2.89]}
    kl |= {"own log p": [0.88, 0.88, 1.88, 2.90], ALL: of_all}
    kl = {name: np.array(x) for name, x in kl.items()}
    assert simplest(kl, memories_of(("features", "log_probs"), False)) == chosen


def test_no_subject_is_predicted_by_a_model_that_saw_it(of_fold, monkeypatch):
    """The train mean of an inner fold is the mean of the labels of the subjects that the fold does not hold out."""
    fold, seen = of_fold[0], []
    monkeypatch.setattr(comparison, "learn_memory", lambda *x: seen.append(x[0]) or learn_memory(*x))
    predict_fold(STYLED, "sequential", fold, ("train_mean",), BenchmarkConfig(tries=1), 0)
    (training,) = seen
    np.testing.assert_array_equal(training.subject, STYLED.subject[fold.train])
    shares = np.exp(training.log_probs)
    for held in np.unique(shares.round(9), axis=0):
        own = np.isclose(shares, held).all(1)
        others = ~np.isin(training.subject, training.subject[own])
        assert len(np.unique(training.subject[own])) == 2  # eight training subjects in four inner folds
        np.testing.assert_allclose(held, training.labels[others].mean(0), rtol=1e-6)


def test_predictions_are_those_of_the_learning(of_fold):
    """One trial after another gives what one Cholesky factor gives for all of them."""
    _, memory = of_fold
    kernel, tested = memory.learned[ALL].kernel, held_out(memory)
    sequences = sequences_of(tested, kernel.gain)
    wanted = predict_in_sequence(kernel, sequences)[sequences.weight > 0]
    np.testing.assert_allclose(predict_after(kernel, tested, None), wanted, atol=1e-9)


@pytest.mark.parametrize("n", [None, 2])
def test_no_report_of_its_own_or_a_later_trial_takes_part(of_fold, n):
    _, memory = of_fold
    tested = held_out(memory)
    position = np.array(
        [
            STYLED.trial[STYLED.subject == s].tolist().index(t) // 2
            for s, t in zip(tested.subject, tested.trial, strict=True)
        ]
    )
    before, rng = predict_after(memory.kernel, tested, n), np.random.default_rng(0)
    for at in range(5):
        labels = tested.labels.copy()
        labels[position >= at] = rng.dirichlet(np.ones(3), (position >= at).sum())
        after = predict_after(memory.kernel, tested._replace(labels=labels), n)
        np.testing.assert_array_equal(after[position <= at], before[position <= at])
        changes = at < 4 if n is None else at < n
        assert (after != before).any() == changes


def test_without_written_trials_nothing_changes_by_a_bit(of_fold):
    fold, memory = of_fold
    for shares in (adapted_shares(memory, fold.test, 0), adapted_shares(memory, fold.test, None, NONE)):
        assert shares.tobytes() == memory.zero_shot.tobytes()
    first = np.flatnonzero(STYLED.trial[memory.rows] == STYLED.trial[memory.rows[0]])
    after = adapted_shares(memory, memory.rows, None)
    assert after[first].tobytes() == memory.zero_shot[first].tobytes()


def test_subjects_without_a_style_of_their_own_are_not_changed():
    plain = styled_subjects(style=0.0)
    fold = make_split(plain, ProtocolConfig(kind="few_shot", folds=3)).folds[0]
    found = predict_fold(plain, "few_shot(1)", fold, ("train_mean",), BenchmarkConfig(tries=1), 0)
    memory = found.memories["train_mean"]
    assert memory.chosen == NONE and memory.reason.startswith("off: it does not help")
    assert found.predicted["train_mean"].tobytes() == adapted_shares(memory, fold.test, 0).tobytes()


def test_a_memory_that_is_off_because_of_validation_says_what_to_do(of_fold):
    fold, memory = of_fold
    names = np.unique(STYLED.subject[fold.train])
    kept = np.isin(STYLED.subject[fold.train], names[:3])
    fold = fold._replace(train=fold.train[kept], validation=fold.train[~kept])
    reason = too_few(STYLED, fold)
    assert "3 training subjects with several trials are left (5 more are validation), 4 are needed" in reason
    assert reason.endswith("--config.protocol.validation=0 with --config.train.select=last")
    off = learn_memory(None, held_out(memory), memory.rows, memory.zero_shot, reason, True)
    assert off.chosen == NONE and off.reason == reason
    without = too_few(STYLED, fold._replace(validation=fold.validation[:0]))
    assert without.startswith("off: 3 training subjects have several trials; wanted 4")


def test_the_file_keeps_everything(of_fold, tmp_path):
    fold, memory = of_fold
    save_memory(tmp_path / "memory.npz", memory)
    again = load_memory(tmp_path / "memory.npz")
    assert again.learned == memory.learned and again.chosen == memory.chosen
    assert again.subjects == memory.subjects
    np.testing.assert_array_equal(adapted_shares(again, fold.test, 2), adapted_shares(memory, fold.test, 2))


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("zero_shot", lambda x: x + 0.01, "not shares that sum to 1"),
        ("log_probs", lambda x: x * np.nan, "log_probs holds values that are not finite"),
        ("rows", lambda x: x[1:], "zero_shot has shape"),
        ("zero_shot", lambda x: x.astype(str), "holds no personal memory"),
        ("zero_shot", None, "is not a readable .npz file"),
        (None, None, "does not exist"),
    ],
)
def test_a_missing_or_damaged_file_is_named_with_the_remedy(of_fold, tmp_path, name, change, says):
    file = tmp_path / "folds" / "00" / "personal_memory_ridge.npz"
    file.parent.mkdir(parents=True)
    if change:
        save_memory(file, of_fold[1])
        saved = dict(np.load(file))
        np.savez(file, **saved | {name: change(saved[name])})
    elif name:
        file.write_bytes(b"damaged")
    with pytest.raises(DataError) as caught:
        load_memory(file)
    assert str(file) in str(caught.value) and says in str(caught.value)
    assert str(caught.value).endswith("delete the folder folds/00 and start the run again")


def test_the_memory_of_other_subjects_is_read_back_bit_for_bit(of_fold, tmp_path):
    _, memory = of_fold
    rng, tested = np.random.default_rng(0), memory.tested
    views = {v: tested.views[v][:4] for v in WITH_OTHERS if v in tested.views}
    others = OtherSubjects(np.array([0, 0, 1, 1]), views, rng.normal(size=(4, tested.labels.shape[1])))
    kernel = RecallKernel(0.3, dict.fromkeys(views, 0.5), dict.fromkeys(views, 1.0), 0.2, others)
    learned = memory.learned | {OTHERS: memory.learned[ALL]._replace(kernel=kernel)}
    changed = memory._replace(learned=learned, chosen=OTHERS)
    save_memory(tmp_path / "memory.npz", changed)
    again = load_memory(tmp_path / "memory.npz")
    wanted = adapted_shares(changed, memory.rows, None)
    np.testing.assert_array_equal(adapted_shares(again, memory.rows, None), wanted)
    without = changed._replace(learned=learned | {OTHERS: memory.learned[ALL]})
    assert np.abs(adapted_shares(without, memory.rows, None) - wanted).max() > 1e-3

"""`adapt` and `update`: the memory is learned in `fit`, kept by every copy, and shown by `explain`."""

import dataclasses

import numpy as np
import pytest
from adaptation_fixture import with_memory
from run_fixture import SMALL_MODEL
from scipy.special import log_softmax

import mpcl_jax as mpcl
from mpcl_jax.metrics import kl
from mpcl_jax.types import take

pytestmark = pytest.mark.usefixtures("quick_programs")
SMALL = {"epochs": 2, "width": 8, "n_prototypes": 2, "batch_size": 32, "early_stopping": False}
SETTINGS = {"model.tokens": 1, **SMALL_MODEL}


def study(style, seed=0, subjects=8, trials=6, windows=2):
    """Recordings whose reports depend on the subject alone, by `style`."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), trials * windows)
    trial = np.repeat(np.arange(subjects * trials), windows)
    signals = {"eda": rng.normal(size=(len(trial), 2)), "face": rng.normal(size=(len(trial), 3))}
    scores = style * rng.normal(size=(subjects, 3))[subject]
    scores = scores + 0.2 * rng.normal(size=(subjects * trials, 3))[trial]
    labels = np.exp(log_softmax(scores, 1))
    return mpcl.from_arrays(signals, labels, subject=subject.astype(str), trial=trial.astype(str))


@pytest.fixture(scope="module")
def fitted():
    return mpcl.MPCLRegressor(**SMALL, settings=SETTINGS, n_seeds=2).fit(study(1.0))


@pytest.fixture(scope="module")
def unseen():
    return study(1.0, seed=1, subjects=1)


def test_fit_learns_to_remember_and_adaptation_lowers_kl(fitted, unseen):
    assert fitted.memory_.reason.startswith("on") and fitted.memory_.subjects == 8
    assert fitted.memory_.kl < 0.6 * fitted.memory_.zero_shot_kl
    written, later = take(unseen, np.arange(6)), take(unseen, np.arange(6, 12))
    adapted = fitted.adapt(written, written.labels, trial=written.trial)
    before = kl(later.labels, fitted.predict(later)).mean()
    assert kl(later.labels, adapted.predict(later, trial=later.trial)).mean() < 0.6 * before


def test_subjects_without_a_style_of_their_own_switch_it_off():
    exchangeable = study(0.0)
    stopped = SMALL | {"early_stopping": True, "epochs": 3}
    stopped["settings"] = SETTINGS
    model, without = (
        mpcl.MPCLRegressor(**stopped, personal_memory=on).fit(exchangeable) for on in (True, False)
    )
    assert model.memory_.kernel is None and "does not help" in model.memory_.reason
    with pytest.warns(UserWarning, match="the personal memory is off: it does not help"):
        adapted = model.adapt(exchangeable, exchangeable.labels)
    shares = model.predict(exchangeable)
    np.testing.assert_array_equal(adapted.predict(exchangeable), shares)
    assert without.explain(exchangeable).memory.startswith("off: it is learned from groups and trials")
    np.testing.assert_array_equal(without.predict(exchangeable), shares)  # learning it changes no prediction


def test_update_step_by_step_equals_adapt_at_once_and_leaves_the_model_alone(fitted, unseen):
    model, before = with_memory(fitted), fitted.predict(unseen)
    first, second = take(unseen, np.arange(3)), take(unseen, np.arange(3, 5))
    both = take(unseen, np.arange(5))
    whole = model.adapt(both, both.labels, trial=both.trial)
    step = model.adapt(first, first.labels, trial=first.trial)
    step = step.update(second, second.labels, trial=second.trial)
    np.testing.assert_allclose(step.predict(unseen), whole.predict(unseen), atol=1e-6)
    assert np.abs(whole.predict(unseen) - before).max() > 1e-3
    np.testing.assert_array_equal(model.predict(unseen), before)
    shown = whole.explain(unseen, trial=unseen.trial)
    assert shown.written == ("0/0", "0/1", "0/2") and shown.written_weight.shape == (12, 3)
    assert (shown.written_weight[0] == shown.written_weight[1]).all()  # two windows of one trial
    assert shown.written_weight[0].argmax() == 0 and shown.memory.startswith("on")


def test_missing_modalities_zeros_and_single_windows(fitted, unseen, tmp_path):
    model, eda = with_memory(fitted), {"eda": unseen.signals["eda"]}
    zeros = np.eye(3)[np.arange(12) % 3]
    adapted = model.adapt(eda, zeros)
    shares = adapted.predict({"eda": eda["eda"][:1]})
    assert np.isfinite(shares).all() and shares.min() > 1e-3 and shares.sum() == pytest.approx(1)
    adapted.save(tmp_path / "model")
    loaded = mpcl.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(unseen), adapted.predict(unseen))
    assert loaded.memory_ == adapted.memory_
    more = loaded.update(eda, np.tile(zeros[:1], (12, 1)), trial="late")
    assert more.explain(unseen).written[-1] == "late" and len(more.explain(unseen).written) == 13
    with pytest.raises(mpcl.DataError, match="Y: trial 'late': rows 0 and 1 have different reports"):
        loaded.update(eda, zeros, trial="late")


def test_a_model_that_standardises_each_subject_adapts_to_ten_rows_or_more(fitted, unseen):
    model, config = with_memory(fitted), fitted.config_
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, per_subject_standardise=True))
    model._fits, model._models = [fit._replace(config=config) for fit in fitted._fits], []
    signals = {m: x[:, 0] for m, x in unseen.signals.items()}
    adapted = model.adapt(signals, unseen.labels, trial=unseen.trial)
    one_subject = np.full(12, "anna")
    of_recordings = model.adapt(unseen, unseen.labels, trial=unseen.trial)
    shares = adapted.predict(signals, groups=one_subject, trial=unseen.trial)
    np.testing.assert_allclose(shares, of_recordings.predict(unseen, trial=unseen.trial), atol=1e-6)
    assert np.abs(shares - model.predict(signals, groups=one_subject)).max() > 1e-3
    few = {m: x[:4] for m, x in signals.items()}
    with pytest.raises(mpcl.DataError, match="has 4 rows; the model standardises .* needs 10; give more"):
        model.adapt(few, unseen.labels[:4])


def test_values_of_standardised_subjects_are_compared_in_their_own_units(recwarn):
    data = study(1.0)
    data = data._replace(signals={m: x + 1000 for m, x in data.signals.items()})
    options = SMALL | {"epochs": 1, "n_seeds": 2, "per_subject_standardise": True, "personal_memory": False}
    mpcl.MPCLRegressor(**options, settings=SETTINGS).fit(data).predict(data)
    assert not [x for x in recwarn if "outside it" in str(x.message)]

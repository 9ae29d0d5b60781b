"""Reports of the wearer: live adaptation is that of the protocol `sequential`, and its state is a small file."""

import numpy as np
import pytest
from stream_fixture import EMOTIONS, RATES, WINDOW, offline, recording, shares, untrained

import mpcl_jax as mpcl
from mpcl_jax.estimator.adapted_subjects import adapt_subjects, predict_subject
from mpcl_jax.estimator.opened_model import opened_model
from mpcl_jax.stream.events import Report
from mpcl_jax.stream.session import StreamSession
from mpcl_jax.stream.sources import replay, with_reports
from mpcl_jax.types import DataError

pytestmark = pytest.mark.usefixtures("quick_programs")
TRIALS, SECONDS = 5, 60


@pytest.fixture(scope="module")
def model():
    return untrained(memory=True, seeds=2)


def day_of(seconds):
    """A recording of five trials, one after the other, and the report at the end of each."""
    labels = np.random.default_rng(5).dirichlet(np.ones(len(EMOTIONS)), TRIALS)
    return recording(TRIALS * seconds, seed=11), [
        Report((n + 1.0) * seconds, y) for n, y in enumerate(labels)
    ]


@pytest.fixture(scope="module")
def day():
    return day_of(SECONDS)


def sequential(model, signals, reports, hop):
    """What the protocol predicts of the same trials, and the ends of its windows on the clock of the recording."""
    seconds = reports[0].time
    values, ends = [], []
    for n in range(TRIALS):
        part = {m: slice(round(n * seconds * RATES[m]), round((n + 1) * seconds * RATES[m])) for m in signals}
        found, end = offline({m: x[part[m]] for m, x in signals.items()}, hop=hop)
        values.append(found)
        ends.append(n * seconds + end)
    data = mpcl.from_arrays(
        {m: np.concatenate([x[m] for x in values]) for m in signals},
        np.repeat([report.label for report in reports], len(ends[0]), axis=0),
        subject="anna",
        trial=np.repeat([f"t{n}" for n in range(TRIALS)], len(ends[0])),
        emotions=EMOTIONS,
    )
    reported = np.ones(len(data.labels), bool)
    return predict_subject(model._open(), model.memory_.kernel, data, reported, sequential=True), ends


@pytest.mark.parametrize(("seconds", "hop"), [(60, 10.0), (20, 20.0)])
def test_live_adaptation_equals_the_sequential_protocol_to_the_last_digit(model, seconds, hop):
    signals, reports = day_of(seconds)
    session = StreamSession(model, rates=RATES, hop=hop)
    events = with_reports(replay(signals, RATES, chunk=0.7), reports)
    found = dict([x for event in events for x in session.push(event)] + session.close())
    wanted, ends = sequential(model, signals, reports, hop)
    for n, of_trial in enumerate(
        ends
    ):  # the protocol recalls by all windows of a trial, a stream by those so far
        row = (n + 1) * len(of_trial) - 1
        p = found[of_trial[-1]]
        np.testing.assert_array_equal(p.distribution, wanted.shares[row].astype(np.float32))
        recalled = {f"report {i + 1}": w for i, w in enumerate(wanted.recalled[row].values())}
        assert dict(p.recalled) == recalled and len(recalled) == n
    for live, held in zip(session._trials.memories.of_models, wanted.memories.of_models, strict=True):
        np.testing.assert_array_equal(live.residual, held.residual)
        for view, x in held.views.items():
            np.testing.assert_array_equal(live.views[view], x)


def test_without_a_report_the_prediction_is_that_of_the_model_and_then_it_moves(model, day):
    source = list(replay(day[0], RATES))
    before = list(mpcl.stream(model, source, rates=RATES))
    after = list(mpcl.stream(model, with_reports(source, day[1][:1]), rates=RATES))
    same = [
        np.array_equal(a.distribution, b.distribution) for (_, a), (_, b) in zip(before, after, strict=True)
    ]
    first = next(i for i, (t, _) in enumerate(before) if t > SECONDS)
    assert same == [True] * first + [False] * (len(same) - first)


def test_the_state_of_a_wearer_goes_on_from_its_file(model, day, tmp_path):
    file = tmp_path / "anna.npz"
    options = {"rates": RATES, "hop": 10.0, "normalise": "wearer"}
    signals, reports = day
    whole = list(mpcl.stream(model, with_reports(replay(signals, RATES), reports), **options))
    half = 3 * SECONDS
    first = {m: x[: round(half * RATES[m])] for m, x in signals.items()}
    later = {m: x[round(half * RATES[m]) :] for m, x in signals.items()}
    list(mpcl.stream(model, with_reports(replay(first, RATES), reports[:3]), memory=file, **options))
    with np.load(file, allow_pickle=False) as held:
        assert str(held["subject"]) == "anna" and held["memory0/trial"].size
    rest = with_reports(replay(later, RATES, start=half), reports[3:])
    found = list(mpcl.stream(model, rest, memory=file, **options))
    assert found[0][1].normalised_from == pytest.approx(half + WINDOW)
    assert [trial for trial, _ in found[0][1].recalled] and len(found[-1][1].recalled) == 4
    wanted = dict(whole)
    np.testing.assert_allclose(found[-1][1].distribution, wanted[found[-1][0]].distribution, atol=0.02)
    file.unlink()
    assert not list(mpcl.stream(model, replay(later, RATES), memory=file, **options))[0][1].recalled


def test_adapt_adds_reports_to_the_file_of_a_wearer_and_keeps_its_statistics(model, day, tmp_path):
    file = tmp_path / "anna.npz"
    source = replay(recording(40), RATES)
    list(mpcl.stream(model, source, rates=RATES, memory=file, normalise="wearer"))
    values, _ = offline(recording(40, seed=3))
    labels = np.tile(day[1][0].label, (5, 1))
    data = mpcl.from_arrays(values, labels, subject="anna", trial="film", emotions=EMOTIONS)
    with np.load(file) as held:
        before = dict(held)
    *_, save = adapt_subjects(opened_model(model), data, np.ones(5, bool), False, file)
    save()
    with np.load(file) as after:
        assert set(after["memory0/trial"]) == {"anna/film"} and "statistics/eda/count" in before
        for name, x in before.items():
            np.testing.assert_array_equal(after[name], x)


def test_an_adapted_model_and_a_memory_file_of_another_model(model, day, tmp_path):
    values, _ = offline(recording(40, seed=3))
    adapted = model.adapt(values, np.tile(day[1][0].label, (5, 1)), trial="calibration")
    found = list(mpcl.stream(adapted, replay(recording(25, seed=4), RATES), memory=tmp_path / "a.npz"))
    assert [trial for trial, _ in found[0][1].recalled] == ["calibration"]
    other = untrained(memory=True, seeds=1)
    with pytest.raises(DataError, match="was written by another model"):
        list(mpcl.stream(other, replay(recording(25, seed=4), RATES), memory=tmp_path / "a.npz"))


def test_reports_that_cannot_be_written_are_named(model):
    session = StreamSession(untrained(memory=False, seeds=1), rates=RATES)
    events = with_reports(replay(recording(25), RATES), [Report(22.0, np.ones(4))])
    assert [p for event in events for p in session.push(event)] and not session.written_trials
    session.close()
    assert session.take_notes() == ("the personal memory is off: for a test; reports are not written",)
    session = StreamSession(model, rates=RATES)
    events = with_reports(replay(recording(25), RATES), [Report(5.0, np.ones(4))])
    ((_, p),) = [x for event in events for x in session.push(event)]
    assert p.notes == ("no window ended in the 600 s before a report; the report is not written",)


def test_a_report_needs_no_new_window(model):
    session = StreamSession(model, rates=RATES, hop=10.0)
    reports = [Report(30.0, np.array([3, 1, 0, 0])), Report(31.0, np.array([0, 1, 3, 0]))]
    events = with_reports(replay(recording(50), RATES), reports)
    found = [x for event in events for x in session.push(event)]
    assert session.written_trials == ("report 1", "report 2")
    held = session._trials.memories.of_models[0].trial.tolist()
    assert held == ["report 1"] * 2 + ["report 2"]  # the second one describes the newest window again
    assert np.isfinite(shares(found)).all()

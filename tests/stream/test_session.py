"""Drop-outs, late samples, clocks that drift, sensors that vanish, normalisation of a new wearer, and misuse."""

import numpy as np
import pytest
from stream_fixture import HOP, RATES, WINDOW, offline, recording, shares, untrained

import mpcl_jax as mpcl
from mpcl_jax.stream.buffer import SensorBuffer
from mpcl_jax.stream.events import Report, Samples
from mpcl_jax.stream.session import StreamSession
from mpcl_jax.stream.sources import replay
from mpcl_jax.types import DataError

pytestmark = pytest.mark.usefixtures("quick_programs")


@pytest.fixture(scope="module")
def model():
    return untrained(memory=False, seeds=1)


def predicted(model, source, **options):
    return list(mpcl.stream(model, source, **{"hop": HOP, "rates": RATES, **options}))


def without(signals, sensor, begin, end):
    """Chunks of a recording in which a sensor sends nothing from `begin` to `end` seconds."""
    for chunk in replay(signals, RATES, chunk=0.25):
        if chunk.sensor != sensor or not begin <= chunk.times[0] < end:
            yield chunk


def lost(signals, sensor, begin, end):
    """The same as a recording: NaN in place of the samples."""
    x = signals[sensor].copy()
    x[int(begin * RATES[sensor]) : int(end * RATES[sensor])] = np.nan
    return signals | {sensor: x}


def test_a_drop_out_counts_as_lost_samples(model):
    signals = recording(60, seed=2)
    found = predicted(model, without(signals, "bvp", 21, 26))
    values, _ = offline(lost(signals, "bvp", 21, 26))
    kept = [
        0,
        *range(2, len(found)),
    ]  # the second window ends in the gap, where offline sees what comes later
    np.testing.assert_array_equal(shares(found)[kept], model.predict(values).astype(np.float32)[kept])


def test_a_sensor_that_vanishes_is_absent_which_is_said_once_and_comes_back(model):
    found = predicted(model, without(recording(120, seed=2), "bvp", 30, 80))
    states = {t: p.sensors["bvp"] for t, p in found}
    assert states[20.0] == states[30.0] == states[120.0] == "present"
    assert {states[t] for t in (35.0, 60.0, 80.0)} == {"absent"}
    assert all(p.sensors["eda"] == "present" for _, p in found)
    notes = [note for _, p in found for note in p.notes]
    assert len(notes) == 1 and notes[0].startswith("bvp: no samples in the window that ends ")


def test_an_absent_sensor_gives_the_prediction_without_its_modality(model):
    signals = recording(40, seed=3)
    found = predicted(model, without(signals, "bvp", 0, 99))
    values, ends = offline({m: x for m, x in signals.items() if m != "bvp"})
    assert [t for t, _ in found] == ends.tolist()
    np.testing.assert_array_equal(shares(found), model.predict(values).astype(np.float32))


def test_nothing_is_predicted_where_no_sensor_measured(model):
    signals = recording(100, seed=4)
    gap = [chunk for chunk in replay(signals, RATES, chunk=0.5) if not 30 <= chunk.times[0] < 70]
    found = predicted(model, gap)
    assert [t for t, _ in found] == [
        *np.arange(20, 41, 5),
        *np.arange(80, 101, 5),
    ]  # half of a window is enough


@pytest.mark.parametrize("drift", [0.999, 1.0, 1.001])
def test_samples_of_a_drifting_clock_lie_in_the_slots_of_the_nominal_rate(drift):
    buffer = SensorBuffer(64.0, size=1280, channels=1)
    times = np.arange(1600) / (64.0 * drift)
    for i in range(0, len(times), 7):
        buffer.put(times[i : i + 7], times[i : i + 7, None])
    window = buffer.window(100)[:, 0]
    known = np.isfinite(window)
    assert np.abs(window - (100 + np.arange(1280)) / 64)[known].max() <= 0.5 / 64 + 1e-9
    assert (~known).sum() == (0 if drift >= 1 else 1)


def test_late_samples_and_wrong_times_are_left_out_and_said_once(model):
    signals = recording(60, seed=6)
    chunks = list(replay(signals, RATES, chunk=1.0))
    odd = [c._replace(times=c.times - 30) for c in chunks if c.times[0] > 45]
    odd += [Samples("hr", np.zeros(1), np.ones(1)), Samples("eda", np.array([np.nan, 1e9]), np.ones(2))]
    mixed = (
        chunks[:170]
        + [x for pair in zip(chunks[170:], odd, strict=False) for x in pair]
        + chunks[170 + len(odd) :]
    )
    found = predicted(model, mixed)
    assert shares(found).tobytes() == shares(predicted(model, chunks)).tobytes()
    notes = [note for _, p in found for note in p.notes]
    assert len(notes) == len(set(notes))
    assert {note.partition(":")[0] for note in notes} >= {"bvp", "eda", "hr"}


def test_memory_is_bounded(model):
    session = StreamSession(model, hop=HOP, rates=RATES)
    most = dict.fromkeys(RATES, 0)
    for chunk in replay(recording(150, seed=7), RATES, chunk=0.5):
        session.push(chunk)
        most = {m: max(most[m], len(b.slots)) for m, b in session._cutter.buffers.items()}
    assert all(most[m] <= (WINDOW + HOP + 2) * rate for m, rate in RATES.items())


def test_a_wearer_is_normalised_by_its_own_windows_from_the_tenth_on(model):
    signals = recording(150, seed=8)
    found = predicted(model, replay(signals, RATES), normalise="wearer")
    training = predicted(model, replay(signals, RATES))
    assert [p.normalised_from for _, p in found[:9]] == [0.0] * 9 and found[9][
        1
    ].normalised_from == WINDOW + 9 * HOP
    np.testing.assert_array_equal(shares(found)[:9], shares(training)[:9])
    assert np.abs(shares(found)[9:] - shares(training)[9:]).max() > 1e-3


def test_a_model_of_standardised_subjects_predicts_as_offline_with_the_windows_so_far():
    model = untrained(memory=False, seeds=1, per_subject=True)
    signals = recording(120, seed=8)
    found = predicted(model, replay(signals, RATES))
    values, ends = offline(signals)
    assert [t for t, _ in found] == ends[9:].tolist()
    assert "10 windows" in found[0][1].notes[0]
    for (_, p), n in list(zip(found, range(10, len(ends) + 1), strict=True))[::5]:
        wanted = model.predict({m: x[:n] for m, x in values.items()}, groups="anna")[-1]
        np.testing.assert_allclose(p.distribution, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rates": {}}, "rates: is {}; wanted a dict"),
        ({"rates": {"hr": 1}}, "rates: names 'hr'; the model has bvp"),
        ({"rates": {"bvp": 4}}, "4 Hz is too low for the kind 'bvp'"),
        ({"kinds": {"eda": "generic"}}, "eda: has 1 × 12 features in the model, the kind 'generic' has 5"),
        ({"window": 0}, "window: is 0; wanted a number of seconds"),
        ({"hop": "5"}, "hop: is '5'"),
        ({"normalise": "none"}, "normalise: is 'none'; wanted 'auto', 'training' or 'wearer'"),
        ({"memory": "anna"}, "anna: is no name of a memory; give one that ends with .npz"),
        ({"memory": "no/anna.npz"}, "no/anna.npz: its folder does not exist"),
        ({"source": [1]}, "source: gave int; wanted Samples or Report"),
        (
            {"source": [Samples("acc", np.zeros(2), np.zeros(2))]},
            "samples of acc: have shape (2, 1); wanted (2, 3)",
        ),
        ({"source": [Report(1.0, np.ones(3))]}, "report: has shape (3,); wanted 4 numbers"),
        ({"source": [Report(1.0, -np.ones(4))]}, "report: row 0 is negative"),
        ({"model": 3}, "model: is int; wanted a fitted MPCLRegressor or its folder"),
    ],
)
def test_misuse_is_one_line(model, options, words):
    options = {"model": model, "source": [], "rates": RATES} | options
    with pytest.raises(DataError) as caught:
        list(mpcl.stream(options.pop("model"), options.pop("source"), **options))
    assert words in str(caught.value) and "\n" not in str(caught.value)

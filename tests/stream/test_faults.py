"""Random schedules of faults: no crash, and no distribution from data that was not there."""

import numpy as np
import pytest
from stream_fixture import EMOTIONS, HOP, RATES, WINDOW, recording, untrained

from mpcl_jax.stream.events import Report, Samples
from mpcl_jax.stream.session import StreamSession
from mpcl_jax.stream.sources import replay

pytestmark = pytest.mark.usefixtures("quick_programs")
SECONDS, LATENESS = 60, 1.0


@pytest.fixture(scope="module")
def model():
    return untrained(seeds=1)


def faulty(rng):
    """Events of a recording of 60 s in the order of arrival, with some faults."""
    events = []  # (arrival, event)
    for chunk in replay(
        recording(SECONDS, seed=int(rng.integers(5))), RATES, chunk=rng.choice([0.25, 1.0, 5.0])
    ):
        for _ in range(1 + (rng.random() < 0.1)):
            events.append((chunk.times[-1] + rng.uniform(0, 0.9 * LATENESS), chunk))
    for m in rng.permutation(list(RATES))[: rng.integers(4)]:  # nothing arrives, or what arrives is wrong
        begin, end = np.sort(rng.uniform(0, SECONDS + 20, 2))
        broken = rng.choice(["silent", "nan", "huge", "shifted", "spike", "still"])
        events = [
            (at, y)
            for at, x in events
            for y in ([x] if x.sensor != m or not begin <= x.times[0] < end else broken_chunk(x, broken, rng))
        ]
    events += [(rng.uniform(0, SECONDS), Samples("unknown", np.zeros(1), np.zeros(1)))]
    events += [(at, Report(at, rng.random(len(EMOTIONS)))) for at in rng.uniform(0, SECONDS, rng.integers(4))]
    return [event for _, event in sorted(events, key=lambda x: x[0])]


def broken_chunk(x, how, rng):
    values = x.values.astype(np.float64)
    if how == "silent":
        return []
    if how in ("nan", "huge"):
        bad = rng.random(len(values)) < 0.7
        values[bad] = np.nan if how == "nan" else rng.choice([np.inf, -1e300, 1e29])
        return [x._replace(values=values)]
    if how == "still":
        return [x._replace(values=np.full_like(values, values.flat[0]))]
    shift = 30 * rng.normal() if how == "shifted" else rng.choice([np.nan, np.inf, -1e12, 1e12, 1e300])
    return [x._replace(times=x.times + (shift if rng.random() < 0.3 else 0.0))]


def arrived(events, sensor, begin):
    """Share of the samples of a window that were sent with a usable value, at any time."""
    slots = set()
    for x in (x for x in events if isinstance(x, Samples) and x.sensor == sensor):
        finite = np.isfinite(x.values).reshape(len(x.times), -1).all(1) & (np.abs(x.times) < 1e10)
        slots |= set(np.rint((x.times[finite] - begin) * RATES[sensor]).astype(int).tolist())
    size = round(WINDOW * RATES[sensor])
    return sum(0 <= slot < size for slot in slots) / size


def check(model, seed):
    events = faulty(np.random.default_rng(seed))
    session = StreamSession(model, rates=RATES, hop=HOP, lateness=LATENESS)
    found = [x for event in events for x in session.push(event)] + session.close()
    times = [t for t, _ in found]
    assert times == sorted(set(times))
    for t, p in found:
        assert np.isfinite(p.distribution).all() and abs(p.distribution.sum() - 1) < 1e-5
        there = [m for m, state in p.sensors.items() if state == "present"]
        assert there and all(arrived(events, m, t - WINDOW) >= 0.5 for m in there), (seed, t)
    for buffer in session._cutter.buffers.values():
        assert len(buffer.slots) <= (WINDOW + 30) * buffer.rate


@pytest.mark.parametrize("seed", range(8))
def test_no_distribution_comes_from_data_that_was_not_there(model, seed):
    check(model, seed)


@pytest.mark.long
def test_a_thousand_schedules(model):
    for seed in range(1000):
        check(model, seed)

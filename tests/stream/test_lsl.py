"""Real LSL streams of this machine only: samples, clocks, reports, lost streams and the outlet."""

import contextlib
import json
import sys
import time
import uuid

import numpy as np
import pytest

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.stream.events import Report, StreamPrediction
from mpcl_jax.stream.lsl import Outlet, inlet_source
from mpcl_jax.types import DataError

EMOTIONS = ("calm", "stress", "joy")
# Loopback and machine scope; a session of its own, so that streams of others are invisible.
CONFIG = """
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
ListenAddress = 127.0.0.1
[lab]
KnownPeers = {127.0.0.1}
SessionID = %s
[log]
level = -3
"""


@pytest.fixture(scope="module")
def lsl(tmp_path_factory):
    """pylsl with a configuration file of its own, which liblsl reads once per process."""
    config = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    config.write_text(CONFIG % uuid.uuid4().hex)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSLAPICFG", str(config))
        yield pytest.importorskip("pylsl", reason="pylsl is not installed: pip install 'mpcl-jax[lsl]'")


def stream(lsl, name, channels=1, kind="float32", source=""):
    return lsl.StreamOutlet(lsl.StreamInfo(name, "test", channels, 32, kind, source))


def received(source, enough, seconds=60.0):
    """Events of `source` until `enough` of those so far is true."""
    events, end = [], time.monotonic() + seconds
    for event in source:
        events.append(event)
        if enough(events):
            return events
        assert time.monotonic() < end, events
    raise AssertionError("the source has ended")


def samples_of(events, sensor):
    chunks = [x for x in events if not isinstance(x, Report) and x.sensor == sensor and len(x.times)]
    return [np.concatenate(x) for x in zip(*((c.times, c.values) for c in chunks), strict=True)] or [[], []]


def test_samples_arrive_with_times_on_this_clock(lsl):
    eda, motion = stream(lsl, "E4_EDA"), stream(lsl, "motion", channels=3, kind="int16")
    source = inlet_source({"eda": "E4_EDA", "motion": "motion"}, {"eda": 1, "motion": 3})
    began = lsl.local_clock() - 10
    for k in range(40):
        eda.push_sample([k], began + k / 4)
        motion.push_sample([k, -k, 7], began + k / 4)
    events = received(source, lambda e: all(len(samples_of(e, x)[0]) == 40 for x in ("eda", "motion")))
    times, values = samples_of(events, "eda")
    np.testing.assert_array_equal(values, np.arange(40, dtype=np.float32))
    np.testing.assert_allclose(times, began + np.arange(40) / 4, atol=0.01)
    assert values.dtype == np.float32 and times.dtype == np.float64
    np.testing.assert_array_equal(samples_of(events, "motion")[1][-1], [39, -39, 7])
    assert len(next(source).times) == 0  # an empty chunk shows that time goes on


def test_reports_of_a_marker_stream_and_a_bad_one_is_named(lsl):
    outlets = [stream(lsl, "eda"), stream(lsl, "text", kind="string"), stream(lsl, "numbers", channels=3)]
    of_text = inlet_source(["eda"], reports="text", emotions=EMOTIONS)
    of_numbers = inlet_source(["eda"], reports="numbers", emotions=EMOTIONS)
    outlets[1].push_sample(['{"angst": 1}'])
    outlets[1].push_sample([json.dumps({"joy": 3, "calm": 1})])
    outlets[2].push_sample([0, 2, 0.5], 123.0)
    with pytest.warns(UserWarning, match=r"LSL stream 'text': the report names 'angst'; .* it is left out"):
        report = received(of_text, lambda e: isinstance(e[-1], Report))[-1]
    np.testing.assert_array_equal(report.label, [1, 0, 3])
    report = received(of_numbers, lambda e: isinstance(e[-1], Report))[-1]
    np.testing.assert_array_equal(report.label, [0, 2, 0.5])
    assert report.time == pytest.approx(123.0, abs=0.01)


def test_a_lost_stream_is_reported_once_and_read_again_when_it_is_back(lsl):
    gone, stays = stream(lsl, "gone"), stream(lsl, "stays")
    said = []
    source = inlet_source(["gone", "stays"], warn=said.append)
    del gone
    events = received(source, lambda _: said)
    stays.push_sample([5])
    received(source, lambda e: len(samples_of(e, "stays")[0]))
    assert said == ["LSL stream 'gone' is lost; it is absent until it is back"]
    assert not len(samples_of(events, "gone")[0])
    back = stream(lsl, "gone")

    def again(events):
        back.push_sample([1])
        return len(samples_of(events, "gone")[0])

    received(source, again)


def test_streams_that_cannot_be_used_are_named_in_one_line(lsl):
    outlets = [stream(lsl, "three", channels=3), stream(lsl, "marker", kind="string")]
    for source, message in (
        (
            lambda: inlet_source(["missing"], timeout=0.2),
            r"'missing': not found within 0.2 s; visible streams: .*'three'",
        ),
        (
            lambda: inlet_source(["three"], {"three": 1}),
            "'three': has 3 channels; sensor 'three' of the model has 1",
        ),
        (lambda: inlet_source(["marker"]), "'marker': holds text, not samples"),
        (
            lambda: inlet_source(["three"], reports="three", emotions=("a", "b")),
            "has 3 channels; a report is one text or 2 numbers",
        ),
    ):
        with pytest.raises(DataError, match=message) as error:
            source()
        assert "\n" not in str(error.value)
    assert outlets


def test_the_outlet_publishes_the_distribution_with_names_and_time(lsl):
    with contextlib.closing(Outlet(EMOTIONS, hop=5.0, name="predicted")) as outlet:
        found = lsl.resolve_byprop("name", "predicted", timeout=5)[0]
        inlet = lsl.StreamInlet(found)
        inlet.open_stream(5)
        assert inlet.info().get_channel_labels() == list(EMOTIONS) and found.nominal_srate() == 0.2
        share = np.array([0.25, 0.5, 0.25], np.float32)
        outlet.publish(77.5, StreamPrediction(share, EMOTIONS, {}, []))
        assert inlet.pull_sample(timeout=5) == ([0.25, 0.5, 0.25], 77.5)


def test_without_pylsl_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pylsl", None)
    for make in (lambda: inlet_source(["eda"]), lambda: Outlet(EMOTIONS, 5.0)):
        with pytest.raises(ConfigError, match=r"pip install 'mpcl-jax\[lsl\]'"):
            make()

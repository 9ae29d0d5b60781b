"""Lab Streaming Layer: sensors and reports as inlets, the distribution as an outlet. Needs the extra `lsl`.

The configuration file of liblsl, `lsl_api.cfg` (environment variable LSLAPICFG), decides which streams are visible.
"""

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.stream.events import Report, Samples, StreamPrediction
from mpcl_jax.stream.report_text import label_of
from mpcl_jax.types import DataError

LARGEST_CHUNK = 4096  # samples
PAUSE = 0.01  # seconds between two looks at streams without new samples
IDLE = 0.25  # seconds without a sample until an empty chunk shows that time goes on


def inlet_source(
    streams: Mapping[str, str] | Iterable[str],
    channels: Mapping[str, int] | None = None,
    *,
    reports: str | None = None,
    emotions: Sequence[str] = (),
    timeout: float = 10.0,
    warn: Callable[[str], object] = warnings.warn,
) -> Iterator[Samples | Report]:
    """Samples of LSL streams, with their time stamps on the clock of this machine.

    `streams`: sensor -> name of its LSL stream, or names that are both · `channels`: sensor -> channels that the
    model expects · `reports`: name of a stream of self-reports, either text as `label_of` reads it or one channel
    for each of `emotions` · `timeout`: seconds to wait for each stream · `warn`: gets one line when a
    stream is lost and for each report that cannot be used.

    A stream that ends is read again as soon as it is back; until then its sensor is absent. The
    source itself never ends. Raises DataError in one line where a stream is not found, has another number of
    channels, or holds text instead of samples, and ConfigError without pylsl.
    """
    lsl = _pylsl()
    named = dict(streams) if isinstance(streams, Mapping) else {name: name for name in streams}
    inlets = {sensor: _Inlet(lsl, name, timeout, warn) for sensor, name in named.items()}
    for sensor, inlet in inlets.items():
        expected = (channels or {}).get(sensor, inlet.channels)
        if inlet.text:
            raise DataError(f"LSL stream {inlet.name!r}", "holds text, not samples of a sensor")
        if inlet.channels != expected:
            reason = f"has {inlet.channels} channels; sensor {sensor!r} of the model has {expected}"
            raise DataError(f"LSL stream {inlet.name!r}", reason)
    marker = _Inlet(lsl, reports, timeout, warn) if reports else None
    if marker and marker.channels != (1 if marker.text else len(emotions)):
        reason = f"has {marker.channels} channels; a report is one text or {len(emotions)} numbers"
        raise DataError(f"LSL stream {marker.name!r}", reason)
    return _events(inlets, marker, emotions)


def _events(inlets: dict[str, "_Inlet"], marker: "_Inlet | None", emotions) -> Iterator[Samples | Report]:
    """Chunks as they arrive, and an empty one every IDLE seconds without a sample."""
    latest = time.monotonic()
    while True:
        arrived = False
        for sensor, inlet in inlets.items():
            values, times = inlet.pull()
            if times:
                arrived = True
                chunk = np.array(values, np.float32)
                yield Samples(sensor, np.array(times), chunk[:, 0] if inlet.channels == 1 else chunk)
        for value, t in zip(*marker.pull(), strict=True) if marker else ():
            try:
                yield Report(t, label_of(value[0] if marker.text else json.dumps(value), emotions))
            except ValueError as error:
                marker.warn(f"LSL stream {marker.name!r}: {error}; it is left out")
        if arrived:
            latest = time.monotonic()
        elif time.monotonic() - latest > IDLE:
            latest = time.monotonic()
            for sensor in inlets:
                yield Samples(sensor, np.empty(0), np.empty(0, np.float32))
        else:
            time.sleep(PAUSE)


class _Inlet:
    """One LSL stream, found by its name, again after it was lost."""

    def __init__(self, lsl, name: str, timeout: float, warn: Callable[[str], object]):
        self.lsl, self.name, self.warn, self._search = lsl, name, warn, None
        found = lsl.resolve_byprop("name", name, timeout=timeout)
        if len(found) != 1:
            visible = ", ".join(sorted({repr(x.name()) for x in lsl.resolve_streams(1.0)})) or "none"
            many = f"exists {len(found)} times; stop or rename the others"
            missing = f"not found within {timeout:g} s; visible streams: {visible}"
            raise DataError(f"LSL stream {name!r}", many if found else missing)
        self.channels, self.text = found[0].channel_count(), found[0].channel_format() == lsl.cf_string
        self._open(found[0], timeout)

    def _open(self, found, timeout: float) -> None:
        self._stream = self.lsl.StreamInlet(found, processing_flags=self.lsl.proc_clocksync)
        try:
            self._stream.open_stream(timeout)
            self._stream.time_correction(timeout)
        except (self.lsl.util.TimeoutError, self.lsl.util.LostError) as error:
            raise DataError(
                f"LSL stream {self.name!r}", f"is visible but does not answer: {error}"
            ) from error

    def pull(self) -> tuple[list, list[float]]:
        """Values and time stamps that have arrived; none while the stream is lost."""
        if self._search is not None:
            self._again()
        if self._search is None:
            try:
                return self._stream.pull_chunk(timeout=0.0, max_samples=LARGEST_CHUNK)
            except self.lsl.util.LostError:
                self.warn(f"LSL stream {self.name!r} is lost; it is absent until it is back")
                self._search = self.lsl.ContinuousResolver("name", self.name)
        return [], []

    def _again(self) -> None:
        """Opens the stream again where it is back with the same channels."""
        for found in self._search.results():
            same = found.channel_count() == self.channels
            if same and (found.channel_format() == self.lsl.cf_string) == self.text:
                with contextlib.suppress(DataError):  # it is gone again, or not ready: the search goes on
                    self._open(found, timeout=1.0)
                    self._search = None
                    return


class Outlet:
    """An LSL stream with a channel for each emotion and a sample for each prediction."""

    def __init__(self, emotions: Sequence[str], hop: float, name: str = "mpcl"):
        """`hop`: seconds between two predictions. Raises ConfigError without pylsl."""
        lsl = _pylsl()
        info = lsl.StreamInfo(
            name, "EmotionDistribution", len(emotions), 1 / hop, lsl.cf_float32, f"mpcl-{name}"
        )
        info.set_channel_labels(list(emotions))
        info.set_channel_types("probability")
        self._outlet = lsl.StreamOutlet(info)

    def publish(self, t: float, p: StreamPrediction) -> None:
        """Sends `p.distribution` with the time stamp `t`, seconds on the clock of the samples; never waits."""
        self._outlet.push_sample(p.distribution.tolist(), t)

    def close(self) -> None:
        """Ends the stream. A second call does nothing."""
        self._outlet = None


def _pylsl():
    """The module; RuntimeError is that of pylsl where liblsl is missing."""
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:
        raise ConfigError(f"LSL needs pip install 'mpcl-jax[lsl]' ({str(error).splitlines()[0]})") from error
    return pylsl

"""Sources of a stream: recordings that are replayed, and lines of text. Any iterable of events is a source too."""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mpcl_jax.data.tables.e4 import find_sessions, read_sessions
from mpcl_jax.data.tables.long_table import sample_sessions
from mpcl_jax.data.tables.read_table import SUFFIXES, numbers, read_table, require_column, roles_of
from mpcl_jax.data.tables.reports import Options, seconds_of, some
from mpcl_jax.data.tables.sessions import Session, Signal
from mpcl_jax.stream.events import Report, Samples
from mpcl_jax.types import DataError

CHUNK = 1.0  # seconds of a recording that arrive together


class Recording:
    """A recording as a source: all its sensors send a chunk, then all send the next one."""

    def __init__(self, signals: Mapping[str, Signal], began: float, chunk: float, speed: float):
        """`began`: added to all times. `speed`: 1 is real time, 0 as fast as possible. Raises DataError."""
        for name, value, least in (("chunk", chunk, 1e-6), ("speed", speed, 0)):
            if not least <= value < np.inf:
                raise DataError(
                    name, f"is {value!r}; wanted a number {'above' if least else 'of at least'} 0"
                )
        self.signals, self.began, self.chunk, self.speed = signals, began, chunk, speed
        self.rates = {m: signal.rate for m, signal in signals.items()}

    def __iter__(self) -> Iterator[Samples]:
        """Chunks in the order of time; waits where there is a speed."""
        ends = max(s.first + len(s.x) / s.rate for s in self.signals.values())
        begins, clock = min(s.first for s in self.signals.values()), time.monotonic()
        for number in range(1, int(np.ceil((ends - begins) / self.chunk)) + 1):
            if self.speed:
                time.sleep(max(0.0, clock + number * self.chunk / self.speed - time.monotonic()))
            for m, (x, rate, first) in self.signals.items():
                low, high = (
                    int(np.ceil((begins + n * self.chunk - first) * rate - 1e-6))
                    for n in (number - 1, number)
                )
                low, high = max(low, 0), min(max(high, 0), len(x))
                if high > low:
                    yield Samples(m, self.began + first + np.arange(low, high) / rate, x[low:high])


def replay(
    signals: Mapping[str, Any],
    rates: Mapping[str, float],
    *,
    chunk: float = CHUNK,
    speed: float = 0.0,
    start: float = 0.0,
) -> Recording:
    """A recording in memory, sensor -> [n] or [n, channels], of which all sensors begin at `start` seconds.

    `rates`: sensor -> Hz. `chunk`: seconds that arrive together. `speed`: 1 is real time, 0 as fast as possible.
    """
    if lacking := [m for m in signals if m not in rates]:
        raise DataError("rates", f"has no entry for {lacking[0]!r}")
    given = {m: Signal(np.asarray(x), float(rates[m]), 0.0) for m, x in signals.items()}
    return Recording(given, start, chunk, speed)


def open_source(
    path: Path, *, rate: float | None = None, chunk: float = CHUNK, speed: float = 0.0
) -> Recording:
    """An Empatica E4 session (a folder or zip file, also of WESAD), or a table with one row a sample.

    `rate`: samples per second of a table that has no column of times. Raises DataError for anything else, and where
    there are several sessions.
    """
    if not path.exists():
        raise DataError(path, "does not exist; give an E4 session, a table of samples, or - for stdin")
    if path.is_file() and path.name.lower().endswith(SUFFIXES):
        table = read_table(path)
        if rate is None and "time" not in roles_of(table, {}):
            raise DataError(path, "has no column of times; give the samples per second: --table-rate HZ")
        sessions, _ = sample_sessions(table, Options(rate=rate))
    elif find_sessions(path):
        sessions, _ = read_sessions(path)
    else:
        raise DataError(path, "holds no Empatica E4 session (EDA.csv, BVP.csv, …) and is no table of samples")
    session = _only(sessions, path)
    return Recording(session.signals, 0.0 if np.isnan(session.began) else session.began, chunk, speed)


def _only(sessions: list[Session], path: Path) -> Session:
    if len(sessions) > 1:
        names = ["/".join(filter(None, (s.subject, s.name))) for s in sessions]
        how = "give one session; of a table, a file with the rows of one"
        raise DataError(path, f"holds {len(sessions)} sessions ({some(names)}); {how}")
    return sessions[0]


def reports_of(path: Path, emotions: tuple[str, ...]) -> list[Report]:
    """The reports in a table: a column `time` in seconds, and one column for each emotion of the model."""
    table = read_table(path)
    labels = numbers(table, [require_column(table, name) for name in emotions])
    seconds, _ = seconds_of(table, require_column(table, roles_of(table, {}).get("time", "time")))
    return [Report(float(t), y) for t, y in zip(seconds, labels, strict=True)]


def with_reports(source: Iterable[Samples | Report], reports: Iterable[Report]) -> Iterator[Samples | Report]:
    """`source`, and each report before the first chunk that ends after it."""
    waiting = sorted(reports, key=lambda report: report.time)
    for event in source:
        now = event.time if isinstance(event, Report) else float(np.max(event.times, initial=-np.inf))
        while waiting and waiting[0].time < now:
            yield waiting.pop(0)
        yield event
    yield from waiting


def text_lines(lines: TextIO | Iterable[str], emotions: int) -> Iterator[Samples | Report]:
    """Lines `time,sensor,value…` and `time,report,rating…` as they come; empty lines are left out.

    `emotions`: the number of ratings. Raises DataError naming the line.
    """
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split(",")]
        if cells == [""]:
            continue
        place = f"line {number}"
        try:
            at, values = float(cells[0]), [float(cell or "nan") for cell in cells[2:]]
        except ValueError:
            raise DataError(
                place, f"{line.strip()[:60]!r}: wanted time,sensor,value or time,report,rating,…"
            ) from None
        if len(cells) < 3 or (cells[1] == "report" and len(values) != emotions):
            wanted = f"{emotions} ratings" if cells[1:2] == ["report"] else "time,sensor,value"
            raise DataError(place, f"{line.strip()[:60]!r}: wanted {wanted}")
        if cells[1] == "report":
            yield Report(at, np.array(values))
        else:
            yield Samples(cells[1], np.array([at]), np.array([values]))

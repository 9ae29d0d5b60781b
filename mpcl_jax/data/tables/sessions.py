"""Recorded sessions and reports to windows: which seconds of a session belong to which report, and their features."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpcl_jax.data import features
from mpcl_jax.data.join import Part
from mpcl_jax.data.tables.reports import Options, Report, Reports, some
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import DataError

WINDOW = 60.0  # seconds, as for WESAD
LOST = "in no recording (columns start and end, or tag, place a trial in its recording)"


class Signal(NamedTuple):
    """One modality of a session."""

    x: np.ndarray  # [n, channels] float64, NaN where a sample is lost
    rate: float  # samples per second
    first: float  # seconds since the session began, of the first sample


class Mark(NamedTuple):
    """A trial that the recording itself names, in seconds since the session began."""

    trial: str
    begin: float
    end: float


class Session(NamedTuple):
    """One uninterrupted recording of one subject."""

    source: str  # file or folder
    subject: str
    name: str  # "" where the subject has one
    signals: dict[str, Signal]
    began: float = np.nan  # seconds since 1970, NaN where it is not known
    marks: tuple[Mark, ...] = ()
    tags: tuple[float, ...] = ()  # seconds since the session began, of the presses of a button

    @property
    def ends(self) -> float:
        """Seconds from the beginning of the session to its last sample."""
        return max(s.first + len(s.x) / s.rate for s in self.signals.values())


class Span(NamedTuple):
    """The seconds of a session that a report describes."""

    session: Session
    report: Report
    begin: float
    end: float
    how: str  # what places the trial, in words


class Windows(NamedTuple):
    """The windows of all sessions."""

    parts: tuple[Part, ...]  # one a subject
    names: dict[str, tuple[str, ...]]  # modality -> names of its features
    notes: tuple[str, ...]


def windows_of(sessions: Sequence[Session], reports: Reports, options: Options) -> Windows:
    """The features of all windows that lie within a trial with a report.

    Raises DataError for subjects without reports, sessions that cannot be told apart, and where no window is left.
    """
    window = options.window or WINDOW
    step = options.step or window / 2
    notes = [f"windows of {window:g} s that begin every {step:g} s and never cross the border of a trial"]
    # A download without a folder of its subject: the questionnaire may name the subject of each session.
    owner = {
        report.session: report.subject for report in reports.of_trials if report.session and report.subject
    }
    sessions = [
        s._replace(subject=owner[s.subject], name=s.subject) if not s.name and s.subject in owner else s
        for s in sessions
    ]
    subjects = list(dict.fromkeys(session.subject for session in sessions))
    parts, names, kinds, dropped = [], {}, {}, {}
    for subject in subjects:
        require_reports(subject, reports, sessions[0].source, len(subjects))
        spans = spans_of([s for s in sessions if s.subject == subject], reports)
        blocks = []
        for span in spans:
            found = _features(span, window, step, options, notes)
            if found is None:
                dropped.setdefault(f"shorter than a window of {window:g} s", []).append(_name(span.report))
                continue
            names |= found.names
            kinds |= found.kinds
            blocks.append((span, found))
        if blocks:
            parts.append(_part(blocks, names))
        notes += [f"trials are placed by {span.how}" for span in spans]
        used = {id(span.report) for span in spans}
        for report in (r for r in reports.of_trials if r.subject in (subject, "") and id(r) not in used):
            dropped.setdefault(LOST, []).append(_name(report))
    if lacking := {report.subject for report in reports.of_trials} - {"", *subjects}:
        notes.append(f"reports without a recording: subjects {some(sorted(lacking))}")
    notes += [f"dropped, {reason}: {some(trials)}" for reason, trials in dropped.items()]
    if not parts:
        raise DataError(reports.source, f"no trial has a window; {notes[-1]}")
    taken = ", ".join(f"{m} as {kind} ({len(names[m])} features)" for m, kind in kinds.items())
    notes.insert(0, f"signals: {taken}; another kind: --kind NAME=KIND")
    return Windows(tuple(parts), names, tuple(dict.fromkeys(notes)))


def require_reports(subject: str, reports: Reports, source: str, subjects: int = 1) -> None:
    """Raises DataError where `subject`, one of `subjects`, has no row in the questionnaire."""
    if reports.subjects == {""} and subjects == 1:
        return
    if reports.subjects == {""}:
        raise DataError(reports.source, f"has no column subject, but there are {subjects} subjects; add it")
    if subject not in reports.subjects:
        known = suggestion(subject, sorted(reports.subjects))
        raise DataError(source, f"subject {subject!r} has no row in {reports.source.name}; {known}")


def spans_of(sessions: list[Session], reports: Reports) -> list[Span]:
    """The trials of one subject, found by the times, tags or names that its reports have.

    In this order: the trials that the recording names; start and end; the number of a tag; sessions that are named as
    trials; tags in the order of the reports. Raises DataError where a trial could be in several sessions.
    """
    own = [r for r in reports.of_trials if r.subject in (sessions[0].subject, "")]
    named = {mark.trial for s in sessions for mark in s.marks}
    tagged = any(s.tags for s in sessions) and not any(r.trial in {s.name for s in sessions} for r in own)
    spans = []
    for session in sessions:
        mine = [r for r in own if r.session in ("", session.name)]
        for r in (r for r in mine if len(sessions) > 1 and not r.session and r.trial not in named):
            if not (r.unix if r.begin == r.begin else np.isnan(r.tag) and not tagged):
                raise _ambiguous(session, r, len(sessions), reports)
        spans += _in_session(session, mine, reports)
    for i, span in enumerate(spans):
        if any(span.report is other.report for other in spans[:i]):
            raise _ambiguous(span.session, span.report, len(sessions), reports)
    return spans


def _ambiguous(session: Session, report: Report, count: int, reports: Reports) -> DataError:
    reason = (
        f"subject {session.subject!r} has {count} sessions, and {reports.source.name} does not state which one trial "
        f"{report.trial!r} is in; add a column session, here with {session.name!r}, or give start and end as dates"
    )
    return DataError(session.source, reason)


def _in_session(session: Session, own: list[Report], reports: Reports) -> list[Span]:
    marks = {mark.trial: mark for mark in session.marks}
    spans = []
    for report in own:
        if report.trial in marks:
            spans.append(Span(session, report, *marks[report.trial][1:], "the names in the recordings"))
        elif not np.isnan(report.begin):
            zero = session.began if report.unix else 0.0
            if np.isnan(zero):
                reason = "has no date; give start and end in seconds since its beginning"
                raise DataError(session.source, reason)
            spans.append(Span(session, report, report.begin - zero, report.end - zero, "start and end"))
        elif not np.isnan(report.tag):
            spans.append(_of_tag(session, report, reports))
        elif report.trial == session.name:
            spans.append(Span(session, report, 0.0, session.ends, "the names of the sessions"))
    if own and not spans and session.tags and not session.marks:
        spans = _in_order(session, own, reports)
    for span in spans:
        if not span.begin < span.end:
            reason = f"trial {_name(span.report)} begins at {span.begin:g} s and ends at {span.end:g} s"
            raise DataError(reports.source, f"{reason}; correct its start and end")
    return [span for span in spans if span.begin < session.ends and span.end > 0]


def _of_tag(session: Session, report: Report, reports: Reports) -> Span:
    """The trial from its tag to its end tag, to the next tag, or to the end of the recording."""
    times = (*session.tags, session.ends)
    first, last = report.tag, report.tag + 1 if np.isnan(report.end_tag) else report.end_tag
    if not (first % 1 == last % 1 == 0 and 1 <= first < last <= len(times)):
        reason = f"trial {_name(report)} is from tag {first:g} to {last:g}; the tags of {session.source} are "
        raise DataError(reports.source, f"{reason}1 to {len(session.tags)}")
    return Span(session, report, times[int(first) - 1], times[int(last) - 1], "the numbers of the tags")


def _in_order(session: Session, own: list[Report], reports: Reports) -> list[Span]:
    """One row of the questionnaire for each pair of tags, or for each stretch between them."""
    tags, n = session.tags, own[0].places  # rows without a usable report count
    if len(tags) == 2 * n:
        times, how = tags, "pairs of tags in the order of the rows"
    elif len(tags) in (n, n + 1):
        borders = (*tags, session.ends)
        times, how = [at for k in range(n) for at in borders[k : k + 2]], "tags in the order of the rows"
    else:
        reason = (
            f"has {len(tags)} tags for {n} rows of subject {session.subject!r} in {reports.source.name}; wanted one "
            "or two for each. Add columns start and end, or tag and end_tag"
        )
        raise DataError(session.source, reason)
    return [Span(session, r, *times[2 * r.place : 2 * r.place + 2], how) for r in own]


def _features(
    span: Span, window: float, step: float, options: Options, notes: list[str]
) -> features.Features | None:
    """The features of one trial, None where no signal covers a window."""
    begin = max(span.begin, min(s.first for s in span.session.signals.values()))
    end = min(span.end, span.session.ends)
    cut = {m: _cut(s, begin, end) for m, s in span.session.signals.items()}
    rates = {m: s.rate for m, s in span.session.signals.items()}
    whole = {m: x for m, x in cut.items() if len(x) >= round(window * rates[m]) > 0}
    if not whole:
        return None
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kinds = {m: kind for m, kind in options.kinds.items() if m in whole}
            found = features.extract(whole, rates, window, step, kinds=kinds, start=begin - span.begin)
    except DataError as error:
        raise DataError(span.session.source, f"trial {_name(span.report)}: {error}") from error
    notes += [f"subject {span.session.subject}: {warning.message}" for warning in caught]
    return found


def _cut(signal: Signal, begin: float, end: float) -> np.ndarray:
    """The samples from `begin` to `end` seconds; NaN before the first sample."""
    low, high = (round((at - signal.first) * signal.rate) for at in (begin, end))
    x = signal.x[max(low, 0) : max(high, 0)]
    return np.pad(x, ((max(-low, 0), 0), (0, 0)), constant_values=np.nan) if len(x) else x


def _part(blocks: list[tuple[Span, features.Features]], names: dict[str, tuple[str, ...]]) -> Part:
    """The windows of all trials of one subject; a modality that a trial lacks is NaN there."""
    signals, quality = {}, {}
    for m in (m for m in names if any(m in found.values for _, found in blocks)):
        empty = np.full(len(names[m]), np.nan)
        values = [found.values.get(m, np.tile(empty, (len(found.start), 1))) for _, found in blocks]
        signals[m] = np.concatenate(values)[:, None]
        quality[m] = np.concatenate([found.quality.get(m, 0 * found.start) for _, found in blocks])
    own = [span.report for span, found in blocks for _ in found.start]
    start = np.concatenate([found.start for _, found in blocks])
    session = blocks[0][0].session
    return part_of(session.source, session.subject, own, start, signals, quality)


def part_of(
    source: str,
    subject: str,
    reports: list[Report],
    start: np.ndarray,
    signals: dict[str, np.ndarray],
    quality: dict[str, np.ndarray] | None = None,
) -> Part:
    """The windows of one subject, with the report of each."""
    return Part(
        source=source,
        subject=subject,
        labels=np.array([report.labels for report in reports]),
        trial=np.array([f"{subject}/{trial_name(report)}" for report in reports]),
        stimulus=np.array([report.stimulus for report in reports]),
        start=start,
        signals=signals,
        quality=quality or {},
    )


def trial_name(report: Report) -> str:
    """The name of a trial, unique within its subject."""
    return "-".join(filter(None, (report.session, report.trial)))


def _name(report: Report) -> str:
    return "/".join(filter(None, (report.subject, trial_name(report))))

"""Predicts one distribution per hop from a stream of samples, live or replayed.

    mpcl stream model S2_E4_Data.zip --speed 1 --page
    mpcl stream model samples.csv --hop 5 --memory anna.npz -o predictions.csv
    device | mpcl stream model - --rate bvp=64 --rate eda=4

SOURCE is an Empatica E4 session (folder or zip file), a table with one row a sample, or - for lines on stdin:
`time,sensor,value,…` and `time,report,rating,…`, with times in seconds. The output has one row per hop: a CSV file
or, on stdout, JSON lines. Ctrl-C ends the stream; --memory keeps what it has learned of the wearer.
"""

import argparse
import contextlib
import csv
import json
import pathlib
import queue
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mpcl_jax.cli.command import Parser, command, importing_jax, paths_of
from mpcl_jax.cli.import_data import name_value_pairs
from mpcl_jax.cli.predict import require_fold
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.stream import sources
from mpcl_jax.stream.events import StreamPrediction
from mpcl_jax.system.output import warn
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import writing
from mpcl_jax.types import DataError

STDIN = "-"
PASSED = ("window", "hop", "normalise", "lateness", "report_seconds")  # options of `StreamSession`
Publish = Callable[[float, StreamPrediction], Any]


@command
def run(arguments: list[str]) -> None:
    """Writes the predictions as they are made."""
    args = parser().parse_args(arguments)
    if args.lsl == (args.source is not None):
        raise ConfigError("SOURCE: give one of an E4 session, a table, - for stdin, and --lsl")
    memory, output = paths_of(args, "--memory", "--output")
    rates = {m: _hertz(m, text) for m, text in name_value_pairs("--rate", args.rate)}
    recorded = _recording(args) if not args.lsl and args.source != STDIN else None
    folder = user_path(args.model)
    require_fold(folder, args.fold)
    with importing_jax():
        from mpcl_jax.estimator.opened_model import opened_model
        from mpcl_jax.stream.session import StreamSession

    model = opened_model(folder, args.fold)
    emotions, shapes = model.models[0].spec.emotions, model.models[0].spec.shapes
    if recorded:
        known = {m: rate for m, rate in recorded.rates.items() if m in shapes}
        if not known:
            has = f"has the sensors {', '.join(recorded.rates)}"
            raise DataError(args.source, f"{has}, the model has {', '.join(shapes)}; rename the columns")
        rates = known | rates
    reports = sources.reports_of(user_path(args.reports, "--reports"), emotions) if args.reports else ()
    session = StreamSession(
        model,
        rates=rates,
        kinds=dict(name_value_pairs("--kind", args.kind)),
        memory=memory,
        **{name: getattr(args, name) for name in PASSED},
    )
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(_output(output, session))]
        waiting: queue.Queue = queue.Queue()  # of reports from the page
        if args.page:
            from mpcl_jax.stream.page.server import PageServer

            page = PageServer(emotions, session.sensors, args.port)
            stack.callback(page.close)
            print(f"page: {page.url}", file=sys.stderr, flush=True)
            outputs.append(page.publish)
            waiting = page.reports
        if args.lsl:
            from mpcl_jax.stream import lsl

            source = lsl.inlet_source(
                session.sensors, session.channels, reports=args.lsl_reports, emotions=emotions, warn=warn
            )
        else:
            source = recorded or sources.text_lines(sys.stdin, len(emotions))
        if args.lsl_outlet:
            from mpcl_jax.stream import lsl

            outlet = lsl.Outlet(emotions, session.hop, args.lsl_outlet)
            stack.callback(outlet.close)
            outputs.append(outlet.publish)
        _follow(session, sources.with_reports(source, reports), waiting, outputs)


def _follow(session: Any, source: Iterable, waiting: queue.Queue, outputs: list[Publish]) -> None:
    """Gives all events to the session and its predictions to the outputs, until the source or the user ends it."""

    def publish(found: list[tuple[float, StreamPrediction]]) -> None:
        for t, prediction in found:
            for note in prediction.notes:
                warn(note)
            for output in outputs:
                output(t, prediction)

    try:
        for event in source:
            while not waiting.empty():
                publish(session.push(waiting.get_nowait()))
            publish(session.push(event))
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
    finally:
        while not waiting.empty():
            publish(session.push(waiting.get_nowait()))
        publish(session.close())
        for note in session.take_notes():
            warn(note)


def _recording(args: argparse.Namespace) -> sources.Recording:
    if args.speed is not None and not args.speed > 0:
        raise ConfigError(
            f"--speed {args.speed:g}: is not above 0; leave it out to replay as fast as possible"
        )
    return sources.open_source(user_path(args.source), rate=args.table_rate, speed=args.speed or 0.0)


@contextlib.contextmanager
def _output(file: pathlib.Path | None, session: Any) -> Iterator[Publish]:
    """A function that writes one row of a CSV file, or of JSON on stdout."""
    if file is None:
        yield lambda t, p: print(json.dumps({"time": t, **_plain(p)}), flush=True)
        return
    with writing(file, 0), file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened, lineterminator="\n")
        shares = [f"predicted_{name}" for name in session.emotions]
        rows.writerow(["time", *shares, *session.sensors, "normalised_from", "recalled", "notes"])

        def write(t: float, p: StreamPrediction) -> None:
            sensors = [p.sensors[m] for m in session.sensors]
            recalled = "; ".join(f"{trial}: {weight:.4f}" for trial, weight in p.recalled)
            rows.writerow(
                [t, *map(str, p.distribution), *sensors, p.normalised_from, recalled, "; ".join(p.notes)]
            )
            opened.flush()

        yield write


def _plain(p: StreamPrediction) -> dict[str, Any]:
    distribution = dict(zip(p.emotions, map(float, p.distribution), strict=True))
    rest = p._asdict()
    del rest["emotions"]
    return rest | {"distribution": distribution}


def _hertz(sensor: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--rate {sensor}={text}: is no number of samples per second") from None


def parser() -> Parser:
    """All options of the command."""
    made = Parser("stream", __doc__)
    made.add_argument("model", help="folder of a saved model, or of a finished run")
    made.add_argument("source", nargs="?", metavar="SOURCE", help="an E4 session, a table, or - for stdin")
    made.add_output_and_fold("fold of a run")
    made.add_argument("--speed", type=float, metavar="N", help="replay N times as fast as it was recorded")
    made.add_argument(
        "--window", type=float, metavar="S", help="seconds of a window; default: as in training"
    )
    made.add_argument(
        "--hop", type=float, metavar="S", help="seconds between windows; default: half a window"
    )
    made.add_argument("--rate", action="append", metavar="NAME=HZ", help="samples per second of a sensor")
    made.add_argument("--table-rate", type=float, metavar="HZ", help="of a table without a column of times")
    made.add_argument("--kind", action="append", metavar="NAME=KIND", help="kind of signal: eda, bvp, …")
    made.add_argument("--memory", metavar="FILE", help="a .npz file with the state of the wearer")
    made.add_argument("--reports", metavar="FILE", help="a table: time in seconds, one column an emotion")
    made.add_argument(
        "--normalise", choices=("auto", "training", "wearer"), default="auto", help="default: auto"
    )
    made.add_argument("--lateness", type=float, default=1.0, metavar="S", help="of a sample; default: 1")
    made.add_argument(
        "--report-seconds",
        type=float,
        default=600.0,
        metavar="S",
        help="that a report describes; default: 600",
    )
    made.add_argument("--page", action="store_true", help="show the stream on a page of this machine")
    made.add_argument("--port", type=int, default=0, metavar="N", help="of the page; default: a free one")
    made.add_argument("--lsl", action="store_true", help="read LSL streams with the names of the sensors")
    made.add_argument("--lsl-reports", metavar="NAME", help="the LSL stream of self-reports")
    made.add_argument(
        "--lsl-outlet",
        metavar="NAME",
        help="publish predictions as an LSL stream; visible in the local network",
    )
    return made

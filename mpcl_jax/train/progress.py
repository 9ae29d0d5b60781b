"""What a running training tells people (a bar, or plain lines) and machines (`metrics.jsonl`)."""

import json
import pathlib
import sys
import time
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mpcl_jax.system.storage import write_text, writing

LINES_PER_FOLD = 5  # where there is no terminal to redraw a bar in


class MetricsLog:
    """One JSON object a line, `{"fold": 0, "epoch": 1, "loss": …}`; the file is the source of truth."""

    def __init__(self, path: pathlib.Path | None):
        """`path` of the file, whose folder must exist; None, for all but the first process, writes nothing."""
        self._path = path

    def drop_after(self, fold: int, epoch: int) -> int:
        """Forgets lines of `fold` behind `epoch`, which a resumed training will write again; says how many."""
        if self._path is None or not self._path.exists():
            return 0
        lines = list(_whole_lines(self._path))
        kept = [line for line in lines if not _is_after(line, fold, epoch)]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        return len(lines) - len(kept)

    def write(self, entry: dict) -> None:
        """Appends one entry. Raises StorageError where the disk does not take it."""
        if self._path is None:
            return
        line = json.dumps(entry) + "\n"
        with writing(self._path, len(line)), self._path.open("a", encoding="utf-8") as file:
            file.write(line)


def warn(text: str) -> None:
    """Tells of something that a reader of the results has to know."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _whole_lines(path: pathlib.Path):
    """The entries of a log; a last line that a kill cut short is left out."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.endswith("}"):
            yield json.loads(line)


def _is_after(entry: dict, fold: int, epoch: int) -> bool:
    return entry["fold"] == fold and entry["epoch"] > epoch


def report_of_each(report: dict, has_validation: Sequence[bool]) -> list[dict[str, float]]:
    """The report of each fold of a group, on the host; without a validation KL where it has no validation rows."""
    host = {name: np.ravel(np.asarray(value)) for name, value in report.items()}
    return [
        {n: float(x[i]) for n, x in host.items() if n != "validation_kl" or has}
        for i, has in enumerate(has_validation)
    ]


def mean_report(reports: list[dict[str, float]]) -> dict[str, float]:
    """The mean of what all folds report."""
    return {name: fmean(r[name] for r in reports) for name in reports[0] if all(name in r for r in reports)}


def announce(name: str, sentence: str, done: int, again: int) -> None:
    """Says which fold begins, after which epoch it resumes, and how many epochs are trained again."""
    resumed = f"  resumed after epoch {done}" if done else "  begins again" if again else ""
    epochs = "1 epoch was" if again == 1 else f"{again} epochs were"
    repeated = f" ({epochs} not saved)" if again else ""
    print(f"{name}  {sentence}{resumed}{repeated}", flush=True)


class Ticker:
    """Progress of one fold: a bar with loss, validation KL, samples/s and time left, or plain lines."""

    def __init__(self, label: str, epochs: int, done: int, samples_per_epoch: int):
        """`label` e.g. "fold 3 of 10" · `epochs` in all · `done` before this start."""
        self._label, self._epochs, self._samples = label, epochs, samples_per_epoch
        self._start, self._first = time.monotonic(), done
        self._every = max(1, epochs // LINES_PER_FOLD)
        self._bar, console = None, Console()
        # Where Rich cannot redraw, or is told of no columns, it draws nothing; a notebook's stream may lack isatty.
        redraws = console.width > 0 and not console.is_dumb_terminal
        if redraws and getattr(sys.stdout, "isatty", bool)():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[report]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task(label, total=epochs, completed=done, report="compiling …")
            self._bar.start()

    def update(self, epoch: int, report: dict[str, float]) -> None:
        """Tells of a finished epoch; `report` holds the mean of every named term."""
        speed = (epoch - self._first) * self._samples / max(time.monotonic() - self._start, 1e-9)
        text = f"epoch {epoch}/{self._epochs}  loss {report['loss']:.4f}"
        if "validation_kl" in report:
            text += f"  validation KL {report['validation_kl']:.4f}"
        text += f"  {speed:,.0f} samples/s"
        if self._bar:
            self._bar.update(self._task, completed=epoch, report=text)
        elif epoch % self._every == 0 or epoch == self._epochs:
            left = (self._epochs - epoch) * self._samples / max(speed, 1e-9)
            print(f"{self._label}  {text}  {left:.0f} s of its training left", flush=True)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar:
            self._bar.stop()

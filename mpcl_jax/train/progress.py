"""What a running training shows on the terminal: a bar, or plain lines where no terminal can redraw one."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINES_PER_FOLD = 5  # where no bar can be drawn


class FoldProgress:
    """Progress of one fold: a bar with loss, validation KL, samples/s and time left, or plain lines."""

    def __init__(self, label: str, epochs: int, done: int, samples_per_epoch: int):
        """`label` e.g. "fold 3 of 10" · `epochs` in all · `done` before this start."""
        self._label, self._epochs, self._samples = label, epochs, samples_per_epoch
        self._start, self._first = time.monotonic(), done
        console = Console()
        # Rich draws nothing where it cannot redraw or gets no columns; the stream of a notebook may lack isatty.
        redraws = console.width > 0 and not console.is_dumb_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[report]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not (redraws and getattr(sys.stdout, "isatty", bool)()),
        )
        self._task = self._bar.add_task(label, total=epochs, completed=done, report="compiling …")
        self._bar.start()

    def update(self, epoch: int, report: dict[str, float]) -> None:
        """Shows a finished epoch; `report` holds the mean of every named term."""
        speed = (epoch - self._first) * self._samples / max(time.monotonic() - self._start, 1e-9)
        text = f"epoch {epoch}/{self._epochs}  loss {report['loss']:.4f}"
        if "validation_kl" in report:
            text += f"  validation KL {report['validation_kl']:.4f}"
        text += f"  {speed:,.0f} samples/s"
        self._bar.update(self._task, completed=epoch, report=text)
        often = max(1, self._epochs // LINES_PER_FOLD)
        if self._bar.disable and (epoch % often == 0 or epoch == self._epochs):
            left = (self._epochs - epoch) * self._samples / max(speed, 1e-9)
            print(f"{self._label}  {text}  {left:.0f} s of its training left", flush=True)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._bar.stop()

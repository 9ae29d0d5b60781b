"""The result of `evaluate`: tables, statistics, predictions and the page."""

import dataclasses
import functools
import html
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.descriptions import n_of
from mpcl_jax.data.splits.manifest import Split, row_ids, write_manifest
from mpcl_jax.evaluation import statistics_text, table_text
from mpcl_jax.evaluation.comparison import make_run_table
from mpcl_jax.evaluation.leaderboard import METHOD, Table
from mpcl_jax.evaluation.number_text import shown_name
from mpcl_jax.evaluation.ranking import Ranking, compare_with_focus, focus_of, rank_methods
from mpcl_jax.evaluation.run_files import predictions_frame
from mpcl_jax.evaluation.written_trials import (
    Memories,
    curve_frame,
    memory_frame,
    memory_markdown,
    shares_after,
)
from mpcl_jax.report.methods_page import Compared, methods_page
from mpcl_jax.runs.read_run import WrittenTrials
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import replacing, write_text
from mpcl_jax.types import Recordings


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class EvaluationTable:
    """The result of `evaluate`: the measures of all methods on the same test rows.

    `print(table)` shows it as text, a notebook as HTML. `shares`: method -> predicted distributions, one array [N, C]
    per training seed, in the order of the test rows. `memories`: method -> for each seed the personal memory of each
    fold; {} where no trials are written.
    """

    recordings: Recordings
    split: Split  # folds of row numbers, what is held out, and the sha256
    shares: Mapping[str, list[np.ndarray]]
    table: Table
    memories: Memories = dataclasses.field(default_factory=dict)

    @property
    def leaky(self) -> bool:
        """True if windows of tested trials were trained on; the measures then do not hold for new data."""
        return self.table.leaky

    @functools.cached_property
    def _ranking(self) -> Ranking:
        return rank_methods(self.table, self.recordings.emotions)

    @property
    def _title(self) -> str:
        return f"{self.recordings.name}, {self.split.protocol}"

    def to_frame(self) -> pd.DataFrame:
        """One row per method: the columns of table.csv, then `p_holm` and `verdict`, and, for protocols that write
        trials, `kl_zero_shot` without them and `memory`, how often the folds chose each memory.

        `verdict` is "better", "worse" or "not significant" in comparison with the method `attrs["compared_with"]`:
        MPCL or, in a table without MPCL, the train mean. `p_holm` is its p value after Holm's correction for all
        methods except oracles. Both are empty (NaN, "") for that method and for oracles. `attrs` also holds "leaky",
        "split_sha256" and "caption", which states what was averaged and n.
        """
        frame, found = table_text.table_frame(self.table), compare_with_focus(self.table)
        compared = [found.get(name) for name in frame["method"]]
        frame["p_holm"] = [float("nan") if x is None else x.corrected for x in compared]
        frame["verdict"] = ["" if x is None else x.verdict for x in compared]
        if self.memories:
            frame[["kl_zero_shot", "memory"]] = self._memory_frame[["kl_zero_shot", "memory"]]
        frame = frame.infer_objects()
        frame.attrs |= {"compared_with": focus_of(list(frame["method"])), "leaky": self.leaky}
        frame.attrs |= {"split_sha256": self.split.sha256, "caption": table_text.caption_of(frame)}
        return frame

    def subjects(self) -> pd.DataFrame:
        """One row per method and subject with the six measures: the columns of subjects.csv."""
        return table_text.subject_frame(self.table).infer_objects()

    def statistics(self) -> pd.DataFrame:
        """One row per method, sorted by mean rank: the columns of statistics.csv. Oracles are not ranked."""
        return self._ranking.methods.infer_objects()

    def pairs(self) -> pd.DataFrame:
        """One row per pair of methods: difference, interval, corrected p, verdict; the columns of pairs.csv."""
        return self._ranking.pairs.infer_objects()

    @functools.cached_property
    def _zero_shot(self) -> dict[str, list[np.ndarray]]:
        return shares_after(self.memories, [fold.test for fold in self.split.folds], 0)

    @functools.cached_property
    def _memory_frame(self) -> pd.DataFrame:
        zero_shot = make_run_table(self.recordings, self.split, self._zero_shot, 1)
        return memory_frame(self.table, zero_shot, self.memories).infer_objects()

    def memory(self) -> pd.DataFrame:
        """A row per method: KL zero-shot and with its memory on the same test rows, their difference, interval, p
        after Holm's correction, verdict, and how often the folds chose each memory: the columns of memory.csv.

        Raises ConfigError for a protocol that writes no trials.
        """
        self._require_written()
        return self._memory_frame.copy()

    def curve(self) -> pd.DataFrame:
        """KL of each method by the number of written trials: the columns of memory_curve.csv.

        "few_shot": the same test rows for every number up to `calibration_pool`; nothing is trained again.
        "sequential": by the position of the tested trial. Raises ConfigError for a protocol that writes no trials.
        """
        self._require_written()
        tested = [fold.test for fold in self.split.folds]
        return curve_frame(self.memories, tested, self.split.protocol).infer_objects()

    def _require_written(self) -> None:
        if not self.memories:
            reason = "has no personal memory; evaluate with protocol 'sequential' or 'few_shot'"
            raise ConfigError(f"protocol = {self.split.protocol!r}: {reason}")

    def predictions(self, method: str | None = None) -> pd.DataFrame:
        """One row per test window, method and seed: ids, and reported and predicted share of each emotion.

        The columns are "method", "seed" and those of predictions.csv. `method`: one method; default: all. Raises
        ConfigError for a method that is not in the table.
        """
        if method is not None and method not in self.shares:
            raise ConfigError(f"method = {method!r}: the table has {', '.join(self.shares)}")
        tested, frames = [fold.test for fold in self.split.folds], []
        for name in self.shares if method is None else [method]:
            for seed, shares in enumerate(self.shares[name]):
                before = self._zero_shot[name][seed] if self.memories else None
                frame = predictions_frame(self.recordings, tested, shares, before)
                frame.insert(0, "method", name)
                frame.insert(1, "seed", seed)
                frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def save_manifest(self, file: str | os.PathLike) -> None:
        """Writes the folds to `file`; `evaluate(…, manifest=file)` and `mpcl train` use them.

        Raises StorageError where the file cannot be written.
        """
        with replacing(user_path(file)) as temporary:
            write_manifest(self.split, self.recordings, temporary)

    def report(self, file: str | os.PathLike) -> pathlib.Path:
        """Writes one HTML page with table, statistics and figures to `file`, and returns its path.

        The page loads nothing. Raises StorageError where the file cannot be written.
        """
        path = user_path(file)
        write_text(path, methods_page(self._compared()))
        return path

    def _texts(self) -> tuple[str, str]:
        """The table, with that of the personal memory if there is one, and two paragraphs of statistics."""
        table = table_text.to_markdown(self.table, title=self._title)
        if self.memories:
            table += f"\n{memory_markdown(self._memory_frame)}"
        return table, statistics_text.tests_text(*self._ranking)

    def _compared(self) -> Compared:
        """What the page shows."""
        frame, (methods, pairs), recordings = self.to_frame(), self._ranking, self.recordings
        rows = np.concatenate([fold.test for fold in self.split.folds])
        averaged = {name: np.mean(of_seeds, axis=0) for name, of_seeds in self.shares.items()}
        sentence, seeds = self.split.sentence, max(frame["seeds"])
        averages = (f"Measures are averaged over {seeds} training seeds.",) if seeds > 1 else ()
        return Compared(
            title=self._title,
            sentences=(f"{sentence[0].upper()}{sentence[1:]}.", *averages, *recordings.notes),
            leaky=self.leaky,
            verdict=tuple(table_text.verdict_lines(frame, compare_with_focus(self.table))),
            caption=f"{frame.attrs['caption']} {table_text.RULE}",
            tests=self._texts()[1],
            table=tuple(table_text.table_frame(self.table).to_dict("records")),
            ranking=tuple(methods.to_dict("records")),
            subjects=tuple(self.subjects().to_dict("records")),
            pairs=statistics_text.pair_cells(methods, pairs),
            focus=shown_name(frame.attrs["compared_with"]),
            emotions=recordings.emotions,
            valence=recordings.valence,
            id=np.array(row_ids(recordings))[rows],
            subject=recordings.subject[rows],
            reported=recordings.labels[rows],
            predicted=averaged.get(METHOD),
            baselines=averaged,
            written=self._written(),
        )

    def _written(self) -> WrittenTrials | None:
        if not self.memories:
            return None
        tables = (tuple(frame.to_dict("records")) for frame in (self._memory_frame, self.curve()))
        memories = self.memories[METHOD][0] if METHOD in self.memories else ()
        return WrittenTrials(*tables, {}, tuple(memories), n_of(self.split.protocol))

    def __repr__(self) -> str:
        """The text that a command prints, then the notes on the data."""
        return "\n".join([*self._texts(), *(f"note   {note}" for note in self.recordings.notes)])

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        frame = table_text.table_frame(self.table)
        cells = table_text.cells_of(frame, tuple(table_text.HEADS)).map(_bold)
        lines = table_text.verdict_lines(frame, compare_with_focus(self.table))
        head = f"<b>{html.escape(self._title)}{f' ({table_text.LEAKY} split)' if self.leaky else ''}</b>"
        below = [table_text.caption_of(frame), *lines, *self._texts()[1].splitlines()]
        texts = "".join(f"<p>{html.escape(line)}</p>" for line in below)
        return f"{head}{cells.to_html(index=False, escape=False, border=0)}{texts}"


def _bold(cell: str) -> str:
    text = html.escape(cell.strip("*"))
    return f"<b>{text}</b>" if cell.startswith("**") else text

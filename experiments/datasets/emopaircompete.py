"""Writes the data set `emopaircompete` in the folder format, from the raw signals of the wristband.

    python -m experiments.datasets.emopaircompete emopaircompete.npz EMOPAIRCOMPETE
    python -m experiments.datasets.emopaircompete emopaircompete.npz EMOPAIRCOMPETE_TASK --with-task

26 subjects solved puzzles in teams of two: 4 rounds of 3 phases of about 5 minutes. They wore an Empatica E4 and
rated 10 PANAS items from 1 to 5 after each phase (the shared file has 18 of them).

Source   Das, Lund, Ramos González and Clemmensen (2024), EmoPairCompete: Physiological Signals Dataset for Emotion
         and Frustration Assessment under Team and Competitive Behaviors. Zenodo, record 11151714.
Terms    those of the Zenodo record; name the authors.

Fields of the file, one row a trial (a phase of a round):

labels [N, 10]     ratings; the label is rating / sum, so the floor of 1 stays in it. Seven missing answers are the
                   median of the subject (missing_answers counts them)
subject            id
round, phase       1 to 4, 1 to 3; the trials of a subject are in the order of time
BVP, EDA, TEMP     samples of all trials, one trial after the other: BVP at 64 Hz as integers (100 times the value),
                   EDA in microsiemens and TEMP in °C at 4 Hz
BVP_length, …      samples of each trial
emotions, valence  names, "pos" or "neg"

Windows of 60 s begin every 30 s within a trial. `mpcl_jax.features.extract` computes the features; the last feature
of a modality is the quality of the window (0 to 1). The phase is the stimulus: all subjects have the same task in it.
With --with-task, the modality `task` tells which of the phases it is, as 0 and 1; it is marked as a modality of
the stimulus. The researcher knows the task before a prediction; a wristband alone does not.

The script searches for windows with the same values in two subjects: D1_2_ID_3 and D1_2_ID_6 hold the same signals in
round 3 (27 windows). The second of two such subjects is left out, with a note.
"""

import sys
from collections.abc import Iterator, Mapping

import numpy as np

import mpcl_jax as mpcl
from experiments.shared.dataset_command import parser_of, read_source, valence_of, write
from experiments.shared.table_command import ending
from mpcl_jax.data.copies import copies_of
from mpcl_jax.data.features import Features
from mpcl_jax.types import Recordings, take

RATES = {"BVP": 64.0, "EDA": 4.0, "TEMP": 4.0}  # samples per second
UNIT = {"BVP": 0.01, "EDA": 1.0, "TEMP": 1.0}  # of a stored number
KEYS = (*RATES, *(f"{m}_length" for m in RATES), "labels", "subject", "round", "phase", "emotions", "valence")
WINDOW, STEP = 60.0, 30.0  # seconds


def recordings_of(held: Mapping[str, np.ndarray], task: bool = False) -> Recordings:
    """The windows of all trials, without subjects whose windows are copies; a note names them."""
    found = list(_trials(held))
    row = np.repeat(np.arange(len(found)), [len(x.start) for x in found])
    signals = {m.lower(): np.concatenate([_with_quality(x, m) for x in found]) for m in RATES}
    groups = dict.fromkeys(signals, "physiological")
    if task:
        signals["task"] = np.equal.outer(held["phase"], np.unique(held["phase"])).astype(np.float32)[row]
        groups["task"] = "behavioural"
    recordings = mpcl.from_arrays(
        signals,
        held["labels"][row],
        subject=held["subject"][row],
        trial=[f"round{held['round'][i]}_phase{held['phase'][i]}" for i in row],
        stimulus=[f"phase{held['phase'][i]}" for i in row],
        start=np.concatenate([x.start for x in found]),
        modality_groups=groups,
        label_kind="counts",  # the floor of 1 stays in the labels
        emotions=[str(name).capitalize() for name in held["emotions"]],
        valence=valence_of(held),
        name="EmoPairCompete and task" if task else "EmoPairCompete",
        window_seconds=WINDOW,
    )
    return without_copies(recordings._replace(of_stimulus=("task",) if task else ()))


def without_copies(recordings: Recordings) -> Recordings:
    """The recordings without the second subject of each pair that shares windows."""
    copies = copies_of(recordings)
    left_out = sorted({pair.second for pair in copies})
    notes = [f"{pair.sentence}; {pair.second} is left out" for pair in copies]
    kept = take(recordings, ~np.isin(recordings.subject, left_out))
    return kept._replace(notes=(*recordings.notes, *notes))


def _trials(held: Mapping[str, np.ndarray]) -> Iterator[Features]:
    """The features of each trial."""
    ends = {m: np.cumsum(held[f"{m}_length"]) for m in RATES}
    for i in range(len(held["labels"])):
        signals = {m: UNIT[m] * held[m][ends[m][i] - held[f"{m}_length"][i] : ends[m][i]] for m in RATES}
        yield mpcl.features.extract(signals, RATES, WINDOW, STEP)


def _with_quality(found: Features, m: str) -> np.ndarray:
    """[W, F + 1] features and quality; NaN where the modality is absent."""
    quality = np.where(found.present[m], found.quality[m], np.nan)
    return np.column_stack([found.values[m], quality])


def main(words: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--with-task", action="store_true", help="add the phase as a modality")
    args = parser.parse_args(words)
    with ending():
        write(recordings_of(read_source(args, KEYS), task=args.with_task), args.folder, __doc__)


if __name__ == "__main__":
    main(sys.argv[1:])

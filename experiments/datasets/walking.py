"""Writes the data set `walking` in the folder format.

    python -m experiments.datasets.walking walking.npz WALKING

43 subjects walked three times, after a sad, neutral and happy film clip (mo), after such music (mu), or while they
heard such music (mw), and rated 20 PANAS items from 1 to 5. The shared file has 29 of them.

Source   Quiroz, Geangu and Yong (2018), Emotion Recognition Using Smart Watch Sensor Data: Mixed-Design Study, JMIR
         Mental Health 5(3), e10153.
Terms    MIT licence of the published files.

Fields of the file, one row a window of 20 s:

labels [N, 20]     mean of the ratings before and after the walk, in mw the rating after it; the label is
                   rating / sum, so the floor of 1 stays in it
before, after      [N, 20] the two ratings; before is NaN in mw
subject            id
trial              number of the walk in the whole study; the walks of a subject are in the order of time
stimulus           group of the subject (mo, mu or mw), and s, n or h (sad, neutral, happy)
start              seconds since the walk began
acc, gyro [N, 43]  features of the smart watch: acceleration and rotation
heart [N, 6]       features of the heart rate; NaN where the sensor repeated one value (three subjects): absent
emotions, valence  names, "pos" or "neg"

The file states neither the groups nor the mean: both follow from its numbers. A report before the walk cannot depend
on the walk, so in mo and mu a part of each label is older than its signals.
"""

import sys
from collections.abc import Mapping

import numpy as np

import mpcl_jax as mpcl
from experiments.shared.dataset_command import parser_of, read_source, valence_of, write
from experiments.shared.table_command import ending
from mpcl_jax.types import Recordings

GROUPS = {"heart": "physiological", "acc": "behavioural", "gyro": "behavioural"}
KEYS = (*GROUPS, "labels", "subject", "trial", "stimulus", "start", "emotions", "valence")
SECONDS = 20.0


def recordings_of(held: Mapping[str, np.ndarray]) -> Recordings:
    """The windows of all walks."""
    return mpcl.from_arrays(
        {m: held[m] for m in GROUPS},
        held["labels"],
        subject=held["subject"],
        trial=[f"walk{trial:03d}" for trial in held["trial"].tolist()],
        stimulus=held["stimulus"],
        start=held["start"],
        modality_groups=GROUPS,
        label_kind="counts",  # the floor of 1 stays in the labels
        emotions=[str(name).capitalize() for name in held["emotions"]],
        valence=valence_of(held),
        name="walking",
        window_seconds=SECONDS,
    )


def main(words: list[str]) -> None:
    args = parser_of(__doc__).parse_args(words)
    with ending():
        write(recordings_of(read_source(args, KEYS)), args.folder, __doc__)


if __name__ == "__main__":
    main(sys.argv[1:])

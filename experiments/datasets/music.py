"""Writes the data set `music` in the folder format.

    python -m experiments.datasets.music music.npz MUSIC
    python -m experiments.datasets.music music.npz MUSIC_BODY --without-audio

103 subjects heard 16 clips of 30 s twice and rated 12 emotions from 1 to 5 after each. The shared file has 69.

Source   Larwood, Vanman and Dingle (2021).
Terms    CC BY-NC-SA 4.0: no commercial use, name the authors, share under the same terms.

Fields of the file, one row a trial:

labels [N, 12]        ratings 1 to 5; the label is rating / sum, so the floor of 1 stays in it
subject, trial        trial counts the trials of a subject from 0, in the order of time
stimulus              the clip: F1 to F4, H1 to H4, S1 to S4, T1 to T4
skin [N, 7]           skin conductance before and during the clip, the change, its logarithm, responses
zygomaticus [N, 7]    electromyogram of the cheek: log level before and during the clip, change, parts of the clip
corrugator [N, 7]     electromyogram of the brow, the same features
audio [N, 46]         features of the clip, the same for every subject
emotions, valence     names, "pos" or "neg"

Audio describes the clip and not the subject: it is marked as a modality of the stimulus, and --without-audio leaves
it out. Every clip is heard twice, so the report of the second hearing can be predicted from the first. A protocol
that holds out subjects does not hold out clips; `subject_x_stimulus` holds out both.
"""

import sys
from collections.abc import Mapping

import numpy as np

import mpcl_jax as mpcl
from experiments.shared.dataset_command import parser_of, read_source, valence_of, write
from experiments.shared.table_command import ending
from mpcl_jax.types import Recordings

GROUPS = {
    "skin": "physiological",
    "zygomaticus": "behavioural",
    "corrugator": "behavioural",
    "audio": "behavioural",
}
KEYS = (*GROUPS, "labels", "subject", "trial", "stimulus", "emotions", "valence")
SECONDS = 30.0


def recordings_of(held: Mapping[str, np.ndarray], audio: bool = True) -> Recordings:
    """The trials of all subjects, one window each."""
    names = [m for m in GROUPS if audio or m != "audio"]
    recordings = mpcl.from_arrays(
        {m: held[m] for m in names},
        held["labels"],
        subject=held["subject"],
        trial=[f"{trial:02d}" for trial in held["trial"].tolist()],
        stimulus=held["stimulus"],
        modality_groups={m: GROUPS[m] for m in names},
        label_kind="counts",  # the floor of 1 stays in the labels
        emotions=[str(name).capitalize() for name in held["emotions"]],
        valence=valence_of(held),
        name="music and audio" if audio else "music",
        window_seconds=SECONDS,
    )
    return recordings._replace(of_stimulus=("audio",) if audio else ())


def main(words: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--without-audio", action="store_true", help="leave out the features of the clip")
    args = parser.parse_args(words)
    with ending():
        held = read_source(args, KEYS)
        write(recordings_of(held, audio=not args.without_audio), args.folder, __doc__)


if __name__ == "__main__":
    main(sys.argv[1:])

"""The pictures of docs/protocols.md: the first folds of each protocol on recordings that consist of ids only.

    python -m experiments.figures.protocol_pictures

Writes docs/pictures/protocol_NAME.png.
"""

import pathlib

import numpy as np

from experiments.figures.split_grid import split_grid
from mpcl_jax.config.data import PROTOCOLS, ProtocolConfig, SimulateConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import DMER_SUBJECTS, make_split
from mpcl_jax.report.plots.style import styled
from mpcl_jax.system.output import any_output
from mpcl_jax.types import Recordings

PICTURES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "pictures"


def dmer_ids() -> Recordings:
    """Windows with the ids of the subjects of DMER, four clips each."""
    clips = 4
    made, _ = simulate(SimulateConfig(subjects=len(DMER_SUBJECTS), clips=clips, windows=1))
    subject = np.repeat(DMER_SUBJECTS, clips)
    trial = np.array([f"{name}/{clip}" for name, clip in zip(subject, made.stimulus, strict=True)])
    return made._replace(subject=subject, trial=trial)


@any_output()
def main():
    made, _ = simulate(SimulateConfig(subjects=8, clips=8, windows=5))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for kind in PROTOCOLS:
        recordings = dmer_ids() if kind == "fixed_48_12_13" else made
        settings = ProtocolConfig(kind=kind, folds=4, validation=0.2, calibration=2, calibration_pool=3)
        figure = split_grid(recordings, make_split(recordings, settings))
        file = PICTURES / f"protocol_{kind}.png"
        with styled():
            figure.savefig(file, dpi=90)
        print(file)


if __name__ == "__main__":
    main()

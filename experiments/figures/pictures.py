"""The co-occurrence picture of the README, from a finished run of the embedded default.

    python -m mpcl_jax.main --config configs/dataset.py
    python -m experiments.figures.pictures runs/dataset

Writes docs/pictures/cooccurrence.png.
"""

import argparse
import pathlib

from mpcl_jax.report.pictures import REPORTED, RETRIEVED, cooccurrences
from mpcl_jax.report.plots.memory import cooccurrence_maps
from mpcl_jax.report.plots.style import styled
from mpcl_jax.runs.read_run import read_run
from mpcl_jax.system.output import any_output

PICTURES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "pictures"


@any_output()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a finished run")
    run = read_run(parser.parse_args().run)
    maps = {name: joint for name, joint in cooccurrences(run).items() if name in (REPORTED, RETRIEVED)}
    figure = cooccurrence_maps(maps, run.emotions, run.valence, references=(REPORTED,))
    PICTURES.mkdir(parents=True, exist_ok=True)
    with styled():
        figure.savefig(PICTURES / "cooccurrence.png", dpi=220)
    print(PICTURES / "cooccurrence.png")


if __name__ == "__main__":
    main()

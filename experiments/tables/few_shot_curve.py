"""KL after n written trials of a held-out subject, on the same test rows for every n.

    python -m experiments.tables.few_shot_curve walking --pool 2 --out experiments/results/few_shot_walking.csv

Reads a folder in the folder format, whose rows are in the order of time. `mpcl.evaluate` with the protocol `few_shot`
trains every method once; only the written trials change with n. Prints the curve and writes a CSV file and a picture.
"""

import argparse
import sys

import mpcl_jax as mpcl
from experiments.shared.table_command import ending, path, positive, shown_command, write_rows
from experiments.tables.sequential import METHODS
from mpcl_jax.report.plots.style import styled
from mpcl_jax.report.written import curve_figure
from mpcl_jax.system.output import any_output


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=path, help="recordings in the folder format")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="MPCL and names of baselines")
    parser.add_argument("--pool", type=positive, default=3, help="largest n; these trials are never tested")
    parser.add_argument("--folds", type=positive, default=5, help="folds of subjects")
    parser.add_argument("--seeds", type=positive, default=1, help="seeds whose KL is averaged")
    parser.add_argument("--tries", type=positive, default=6, help="settings that a baseline compares")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 = one per core")
    parser.add_argument("--cache", type=path, help="folder that keeps finished jobs")
    parser.add_argument("--out", type=path, help="the .csv to write; the picture is beside it")
    args = parser.parse_args(words)
    with ending():
        settings = {name: getattr(args, name) for name in ("folds", "seeds", "tries", "workers", "cache")}
        data = mpcl.load_dataset("folder", args.folder)
        pool = {"calibration": args.pool, "calibration_pool": args.pool}
        curve = mpcl.evaluate(args.methods, data, "few_shot", **pool, **settings).curve()
        rows = curve.to_dict("records")
        write_rows(rows, args.out, shown_command(__spec__.name, words))
        if args.out:
            with styled():
                curve_figure(rows).savefig(args.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main(sys.argv[1:])

"""KL after n written trials of a held-out subject, on the same test rows for every n.

    python -m experiments.tables.few_shot_curve walking --pool 2 --out experiments/results/few_shot_walking.csv

Reads a folder in the folder format, whose rows are in the order of time. `mpcl.evaluate` with the protocol `few_shot`
trains every method once; only the written trials change with n. Prints the curve and writes a CSV file and a picture.
"""

import sys

from experiments.shared.table_command import ending, positive, shown_command, write_rows
from experiments.tables.sequential import evaluated, parser_of
from mpcl_jax.report.plots.style import styled
from mpcl_jax.report.written import curve_figure
from mpcl_jax.system.output import any_output


@any_output()
def main(words: list[str]) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--pool", type=positive, default=3, help="largest n; these trials are never tested")
    args = parser.parse_args(words)
    with ending():
        curve = evaluated(args, "few_shot", calibration=args.pool, calibration_pool=args.pool).curve()
        rows = curve.to_dict("records")
        write_rows(rows, args.out, shown_command(__spec__.name, words))
        if args.out:
            with styled():
                curve_figure(rows).savefig(args.out.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Explains one prediction of a finished run: `python -m mpcl_jax.cli.explain RUN --sample ID`.

Ids stand in the run's predictions.csv (trial@start in seconds). Reads files only: no JAX, no model, no recordings.
"""

import argparse
import json
import sys

from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.report.explanation import Contribution, Explanation, explain, row_of
from mpcl_jax.runs.read_run import read_run
from mpcl_jax.system.output import any_output
from mpcl_jax.types import DataFileError


def to_text(found: Explanation) -> str:
    """What a person reads."""
    longest = max(len(share.emotion) for share in found.shares)
    most = max(max(share.reported, share.predicted) for share in found.shares)
    lines = [f"{found.id}  subject {found.subject}, fold {found.fold}, KL {decimal(found.kl)}", ""]
    lines.append(f"{'emotion':{longest}s}  reported  predicted")
    for share in found.shares:
        bars = ["#" * round(20 * x / most) for x in (share.reported, share.predicted)]
        numbers = f"{100 * share.reported:6.1f} %  {100 * share.predicted:6.1f} %"
        lines.append(f"{share.emotion:{longest}s}  {numbers}   {bars[0]:20s} {bars[1]}".rstrip())
    lines += ["", "prototypes recalled (share of all that was recalled):"]
    lines += [f"  {100 * x.weight:5.1f} %  {x.emotion} {x.slot}, {x.side}" for x in found.recalled] or [
        "  none"
    ]
    lines += ["", "emotions that called up others:"]
    lines += [f"  {100 * x.weight:5.1f} %  {x.emotion} -> {x.retrieved}" for x in found.pairs] or ["  none"]
    lines += ["", "worth of each part (KL without it minus KL with it; above 0 it helped):"]
    lines += [_worth(x) for x in (*found.modalities, *found.scales)] or ["  not recorded by this run"]
    return "\n".join(lines)


def _worth(part: Contribution) -> str:
    moved = f"{decimal(100 * part.change, 1, sign=True)} points {part.largest_change}"
    return f"  {decimal(part.gain, sign=True):>7s}  {part.name}; it moved {moved}"


@any_output()
def main() -> None:
    """Prints the explanation; an unknown run or sample ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument(
        "--sample", required=True, metavar="ID", help="id of a test window, as in predictions.csv"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    args = parser.parse_args()
    try:
        run = read_run(args.run)
        found = explain(run, row_of(run, args.sample))
    except (DataFileError, KeyError) as mistake:
        print(
            "error:",
            " ".join(str(mistake.args[0] if isinstance(mistake, KeyError) else mistake).split()),
            file=sys.stderr,
        )
        sys.exit(2)
    if not args.json:
        print(to_text(found))
        return
    plain = {
        name: [x._asdict() for x in value] if isinstance(value, tuple) else value
        for name, value in found._asdict().items()
    }
    print(json.dumps(plain, indent=1))


if __name__ == "__main__":
    main()

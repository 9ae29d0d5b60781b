"""Explains one prediction of a finished run: retrieved prototypes, co-occurrence, and the effect of each part.

    mpcl explain runs/dataset --sample "P12/clip01@0.000"

The id of a window is trial@start, with the start in seconds; predictions.csv of the run lists all ids. Only the run
folder is read: JAX, the model and the recordings are not used.
"""

from mpcl_jax.cli.command import Parser, command, to_json
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluation.number_text import decimal
from mpcl_jax.report.explanation import Contribution, Explanation, explain, row_of
from mpcl_jax.runs.read_run import read_run


def to_text(found: Explanation, fold: str) -> str:
    """The explanation as text, with bars; `fold`: the name of its fold, "fold 1 of 5"."""
    longest = max(len(share.emotion) for share in found.shares)
    most = max(max(share.reported, share.predicted) for share in found.shares)
    lines = [f"{found.id}  subject {found.subject}, KL {decimal(found.kl)}"]
    lines += [f"{fold} (--fold {found.fold} of mpcl predict and mpcl inspect)", ""]
    lines.append(f"{'emotion':{longest}s}  reported  predicted")
    for share in found.shares:
        bars = ["#" * round(20 * x / most) for x in (share.reported, share.predicted)]
        numbers = f"{100 * share.reported:6.1f} %  {100 * share.predicted:6.1f} %"
        lines.append(f"{share.emotion:{longest}s}  {numbers}   {bars[0]:20s} {bars[1]}".rstrip())
    if found.written is not None:
        lines += ["", "written trials of the subject (weight of their residual in the correction of log p):"]
        lines += [f"  {decimal(x, 3):>6s}  {trial}" for trial, x in found.written.items()] or ["  none"]
    lines += ["", "retrieved prototypes (share of the retrieval):"]
    lines += [f"  {100 * x.weight:5.1f} %  {x.emotion} {x.slot}, {x.group}" for x in found.recalled] or [
        "  none"
    ]
    lines += ["", "retrieval between emotions:"]
    lines += [f"  {100 * x.weight:5.1f} %  {x.emotion} -> {x.retrieved}" for x in found.pairs] or ["  none"]
    lines += [
        "",
        "effect of each part (KL without it minus KL with it; above 0: the part improved the prediction):",
    ]
    lines += [_worth(x) for x in (*found.modalities, *found.scales)] or ["  not recorded in this run"]
    return "\n".join(lines)


def _worth(part: Contribution) -> str:
    moved = f"{decimal(100 * part.change, 1, sign=True)} percentage points"
    return (
        f"  {decimal(part.gain, sign=True):>7s}  {part.name}; changes {part.largest_change} most, by {moved}"
    )


@command
def run(arguments: list[str]) -> None:
    """Prints the explanation."""
    parser = Parser("explain", __doc__)
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument(
        "--sample", required=True, metavar="ID", help="id of a test window, as in predictions.csv"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    args = parser.parse_args(arguments)
    files = read_run(args.run)
    try:
        found = explain(files, row_of(files, args.sample))
    except KeyError as mistake:
        raise ConfigError(mistake.args[0]) from mistake
    name = files.split["folds"][found.fold]["name"]
    print(to_json(found) if args.json else to_text(found, name))

"""Leak thermometer: the same model on random windows and on an honest split, and what the difference is.

    python -m experiments.tables.leak_thermometer --config configs/smoke.py
    python -m experiments.tables.leak_thermometer --config configs/dmer_groups.py --data dmer_feature_sample.mat

The config's own protocol is the honest one (--honest names another); everything else, seeds included, stays as it is.
Each split is a run below runs/thermometer, so a stopped thermometer goes on where it was. Baselines run beside it: a
leak helps whoever can recognise a trial, and the train mean shows that the tested windows are not simply easier ones.
"""

import argparse
import dataclasses
import pathlib
import sys

from experiments.shared.command_words import path
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluate.comparison import make_run_table
from mpcl_jax.evaluate.experiment import run_baselines
from mpcl_jax.evaluate.leaderboard import METHOD, Table
from mpcl_jax.evaluate.table_text import short, spoken
from mpcl_jax.system.errors import TrainingError
from mpcl_jax.system.output import any_output
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import prepare
from mpcl_jax.train.surroundings import settle
from mpcl_jax.types import DataFileError

LEAKY = "window80"
HELD_OUT = {
    "loso": "people",
    "subject_kfold": "people",
    "fixed_48_12_13": "people",
    "calibrated": "people",
    "trial_kfold": "clips",
    "stimulus_kfold": "stimuli",
    "subject_x_stimulus": "people and stimuli",
}


def table_on(config: Config, kind: str, workdir: pathlib.Path) -> Table:
    """The table of a run whose protocol is `kind`, all of whose folds are run."""
    protocol = dataclasses.replace(config.protocol, kind=kind, only=(), manifest="")
    run = prepare(dataclasses.replace(config, protocol=protocol), workdir / kind)
    print(f"\n{kind}: {run.split.sentence}", flush=True)
    predictions = train_folds(run)
    mpcl = [[of_fold.predicted for of_fold in predictions]]
    return make_run_table(run.recordings, run.split, [run_baselines(run)], mpcl)


def compared(leaky: Table, honest: Table, kind: str) -> str:
    """KL of every method on both splits, and the sentence of the thermometer."""
    lines = [f"{'KL':12s}  {LEAKY + ' (LEAKY)':>16s}  {kind:>18s}  {'difference':>10s}"]
    there = {row.method: row.mean["kl"] for row in honest.rows}
    for row in leaky.rows:
        low, high = row.mean["kl"], there[row.method]
        cells = f"{short(low):>16s}  {short(high):>18s}  {short(high - low, sign=True):>10s}"
        lines.append(f"{spoken(row.method):12s}  {cells}")
    low = next(row.mean["kl"] for row in leaky.rows if row.method == METHOD)
    sentence = f"KL {short(low, 3)} -> {short(there[METHOD], 3)} when {HELD_OUT[kind]} are held out"
    return "\n".join([*lines, "", sentence])


@any_output()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--config", required=True, help="e.g. configs/smoke.py; --config.KEY=VALUE changes it"
    )
    parser.add_argument("--data", default="", help="config.data.path")
    parser.add_argument(
        "--honest", default="", choices=["", *HELD_OUT], help="default: the config's protocol"
    )
    parser.add_argument("--workdir", type=path, help="default: runs/thermometer/<name of the config>")
    args, overrides = parser.parse_known_args()
    data = [f"--config.data.path={args.data}"] if args.data else []
    try:
        config = from_command_line(args.config, [*data, *overrides])
        settle()
        kind = args.honest or config.protocol.kind
        if kind == LEAKY:
            raise ConfigError(
                f"config.protocol.kind = {kind!r}: name an honest one, e.g. --honest trial_kfold"
            )
        workdir = args.workdir or pathlib.Path("runs/thermometer") / pathlib.Path(args.config).stem
        keep_compiled_programs()
        leaky, honest = (table_on(config, which, workdir) for which in (LEAKY, kind))
    except (ConfigError, DataFileError, TrainingError) as mistake:
        sys.exit(f"error: {' '.join(str(mistake).split())}")
    print(f"\n{compared(leaky, honest, kind)}")


if __name__ == "__main__":
    main()

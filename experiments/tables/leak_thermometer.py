"""Leak thermometer: the same model on a random split of windows and on a grouped split, and the difference.

    python -m experiments.tables.leak_thermometer --config configs/smoke.py
    python -m experiments.tables.leak_thermometer --config configs/dmer_groups.py --data dmer_feature_sample.mat

The grouped split is the protocol of the config (--grouped names another); all other settings and seeds are the same.
Each split is a run in runs/thermometer, and the command resumes them. Baselines are included: a leak helps every
method that can recognise a trial, and the train mean shows whether the tested windows are easier.
"""

import argparse
import dataclasses
import pathlib

import numpy as np
import pandas as pd

from experiments.shared.table_command import ending, path
from mpcl_jax.baselines.registry import wanted
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.data import PROTOCOLS
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluation.after_training import run_baselines
from mpcl_jax.evaluation.comparison import make_run_table
from mpcl_jax.evaluation.leaderboard import METHOD, Table
from mpcl_jax.evaluation.number_text import decimal, shown_name
from mpcl_jax.evaluation.table_text import markdown_of
from mpcl_jax.system.output import any_output
from mpcl_jax.train.devices import keep_compiled_programs
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import prepare
from mpcl_jax.train.start import start_jax

LEAKY = "window80"


def table_on(config: Config, kind: str, workdir: pathlib.Path) -> Table:
    """The table of a run with the protocol `kind` and all its folds."""
    protocol = dataclasses.replace(config.protocol, kind=kind, only=(), manifest="")
    run = prepare(dataclasses.replace(config, protocol=protocol), workdir / kind)
    print(f"\n{kind}: {run.split.sentence}", flush=True)
    mpcl = np.concatenate([fold.predicted for fold in train_folds(run)])
    predicted = run_baselines(run, wanted(config.benchmark)) | {METHOD: [mpcl]}
    return make_run_table(run.recordings, run.split, predicted, config.benchmark.tries)


def compared(leaky: Table, grouped: Table, kind: str) -> str:
    """KL of every method on both splits."""
    of_grouped = {row.method: row.mean["kl"] for row in grouped.rows}
    rows = [(row.method, row.mean["kl"], of_grouped[row.method]) for row in leaky.rows]
    cells = {
        "KL ↓": [shown_name(name) for name, _, _ in rows],
        f"{LEAKY} (LEAKY)": [decimal(kl) for _, kl, _ in rows],
        kind: [decimal(kl) for _, _, kl in rows],
        "difference": [decimal(after - before, sign=True) for _, before, after in rows],
    }
    return markdown_of(pd.DataFrame(cells))


@any_output()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--config", required=True, help="e.g. configs/smoke.py; --config.KEY=VALUE changes it"
    )
    parser.add_argument("--data", default="", help="config.data.path")
    parser.add_argument(
        "--grouped", default="", choices=["", *PROTOCOLS], help="default: the protocol of the config"
    )
    parser.add_argument("--workdir", type=path, help="default: runs/thermometer/<name of the config>")
    args, overrides = parser.parse_known_args()
    data = [f"--config.data.path={args.data}"] if args.data else []
    with ending():
        config = from_command_line(args.config, [*data, *overrides])
        start_jax()
        kind = args.grouped or config.protocol.kind
        if kind == LEAKY:
            raise ConfigError(
                f"config.protocol.kind = {kind!r}: name a grouped one, e.g. --grouped trial_kfold"
            )
        workdir = args.workdir or pathlib.Path("runs/thermometer") / pathlib.Path(args.config).stem
        keep_compiled_programs()
        leaky, grouped = (table_on(config, which, workdir) for which in (LEAKY, kind))
    print(f"\n{compared(leaky, grouped, kind)}")


if __name__ == "__main__":
    main()

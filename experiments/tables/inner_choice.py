"""Values of one setting compared on inner folds: no test subject of the table's folds takes part in a comparison.

    python -m experiments.tables.inner_choice averaging_music --config configs/music.py --data MUSIC \
        --setting train.stimulus_averaging --values 0.0 0.5 0.75 1.0

The training part of every fold of the config is split again into three folds of whole subjects. Prints and writes
the KL of each value, a mean over all subjects, and the paired difference from the first value with its standard error
over subjects. A subject is in the training part of several folds; its KL is the mean over them.
"""

import argparse
import ast
import dataclasses

import pandas as pd

import mpcl_jax as mpcl
from experiments.shared import render
from experiments.shared.table_command import ending, path, positive, shown_command, write_rows
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.schema import Config
from mpcl_jax.data import pipeline
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.types import Recordings, take

INNER_FOLDS = 3


def settings_of(config: Config) -> dict[str, object]:
    """The settings of model, losses and training by name, as `MPCLRegressor` takes them."""

    def flat(part: object, name: str) -> dict[str, object]:
        if not dataclasses.is_dataclass(part):
            return {name: part}
        fields = [(f.name, getattr(part, f.name)) for f in dataclasses.fields(part)]
        return {k: v for field, value in fields for k, v in flat(value, f"{name}.{field}").items()}

    return flat(config.model, "model") | flat(config.loss, "loss") | flat(config.train, "train")


def measure(recordings: Recordings, config: Config, setting: str, values: list, seeds: int) -> pd.DataFrame:
    """The KL of each subject (rows) and value (columns)."""
    own = settings_of(config)
    standardise = config.data.per_subject_standardise
    models = {
        f"value_{number}": mpcl.MPCLRegressor(
            settings=own | {setting: value}, per_subject_standardise=standardise
        )
        for number, value in enumerate(values)
    }
    found = []
    for fold in make_split(recordings, config.protocol).folds:
        part = take(recordings, fold.train)
        table = mpcl.evaluate(models, part, "subject_kfold", folds=INNER_FOLDS, seeds=seeds, verbose=False)
        found.append(table.subjects())
        print(f"{fold.name}: {table.to_frame().set_index('method')['kl'].round(4).to_dict()}", flush=True)
    kl = pd.concat(found).groupby(["subject", "method"])["kl"].mean().unstack()
    return kl[list(models)].set_axis(values, axis=1)


def main() -> None:
    """Measures every value."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="name of the result file, inner_NAME.csv")
    parser.add_argument(
        "--config", required=True, help="e.g. configs/music.py; --config.KEY=VALUE changes it"
    )
    parser.add_argument("--data", default="", help="config.data.path")
    parser.add_argument("--setting", required=True, help="e.g. train.stimulus_averaging")
    parser.add_argument("--values", nargs="+", required=True, type=ast.literal_eval)
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--out", type=path, default=render.RESULTS, help="folder of the result file")
    args, overrides = parser.parse_known_args()
    with ending():
        data = [f"--config.data.path={args.data}"] if args.data else []
        config = from_command_line(args.config, [*data, *overrides])
        kl = measure(pipeline.load(config.data), config, args.setting, args.values, args.seeds)
        difference = kl.sub(kl[args.values[0]], axis=0)
        rows = [
            {
                "setting": args.setting,
                "value": value,
                "kl": round(kl[value].mean(), 5),
                "difference": round(difference[value].mean(), 5),
                "standard_error": round(difference[value].sem(), 5),
                "subjects": len(kl),
            }
            for value in args.values
        ]
        words = ["--config", args.config, "--setting", args.setting, "--seeds", str(args.seeds), *overrides]
        command = shown_command(__spec__.name, [args.name, *words, "--values", *map(str, args.values)])
        write_rows(rows, args.out / f"inner_{args.name}.csv", command)


if __name__ == "__main__":
    main()

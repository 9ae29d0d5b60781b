"""Speed-up of one compiled program for all folds and seeds, against a loop that compiles a program per fold.

    python -m experiments.speed.one_program
    python -m experiments.speed.one_program --config configs/wesad.py --seeds 5 --config.data.path=WESAD

Every fold of the config is trained and tested once for each seed, in one process and without the compilation cache on
the disk: first all of them as the tables do it, then the first --anew of them (default: the folds of one seed) with a
program per fold. The command prints the number of trainings and of compiled programs, seconds a training, and the
ratio. Recordings are read once for both.
"""

import argparse
import dataclasses
import itertools
import pathlib
import sys
import tempfile
import time
from unittest import mock

import jax

from experiments.shared.table_command import ending
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.schema import Config
from mpcl_jax.data import pipeline
from mpcl_jax.evaluation.jobs.keys import load_table_data
from mpcl_jax.system.output import any_output
from mpcl_jax.train.loop import train_folds
from mpcl_jax.train.run import Run, prepare, shared_program, with_other_folds
from mpcl_jax.train.start import start_jax

COMPILED = "/jax/core/compile/backend_compile_duration"


def of_fold(config: Config, seed: int, number: int) -> Config:
    """The config of one fold alone."""
    return dataclasses.replace(
        config, seed=seed, protocol=dataclasses.replace(config.protocol, only=(number,))
    )


def together(config: Config, args: list[tuple[int, int]], folder: pathlib.Path) -> None:
    """Trains every (seed, fold) of `args` with one program."""
    run: Run = prepare(of_fold(config, *args[0]), folder / "first")
    train_folds(run)
    for seed, number in args[1:]:
        train_folds(with_other_folds(run, of_fold(config, seed, number), folder / f"{seed}_{number}"))


def anew(config: Config, args: list[tuple[int, int]], folder: pathlib.Path) -> None:
    """Trains every (seed, fold) of `args` with a program of its own."""
    for seed, number in args:
        shared_program.cache_clear()
        train_folds(prepare(of_fold(config, seed, number), folder / f"anew_{seed}_{number}"))


def timed(name: str, make, config: Config, args: list[tuple[int, int]]) -> float:
    """Runs `make` on `args`, prints compiled programs and seconds, and returns the seconds of one training."""
    seen: list[str] = []

    def count(event: str, *_, **__) -> None:
        if event == COMPILED:
            seen.append(event)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(count)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        make(config, args, pathlib.Path(folder))
        taken = time.perf_counter() - start
    jax.monitoring.unregister_event_duration_listener(count)
    each = taken / len(args)
    print(
        f"{name}: {len(args)} trainings, {len(seen)} programs compiled, {taken:.0f} s, {each:.1f} s each",
        flush=True,
    )
    return each


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", default="configs/dataset.py")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--anew", type=int, default=0)
    arguments, overrides = parser.parse_known_args(words)
    with ending():
        config = from_command_line(arguments.config, overrides)
        start_jax()
        table_data = load_table_data(config)
        args = list(itertools.product(range(arguments.seeds), table_data.numbers))
        with mock.patch.object(pipeline, "load", lambda _: table_data.recordings):
            shared = timed("one program", together, config, args)
            first = args[: arguments.anew or len(table_data.numbers)]
            alone = timed("a program a fold", anew, config, first)
    print(f"the loop takes {alone / shared:.1f} times as long")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Few-shot adaptation by memory and by fine-tuning: the first n trials of a held-out subject are written.

    python -m experiments.tables.fine_tuning --data WALKING --written 1 2 --out fine_tuning_walking.csv
    python -m experiments.tables.fine_tuning --data WESAD --config wesad --written 1 2 3

Reads a folder in the folder format, or the data set of --config; rows are in the order of time. Subjects are held out
in five folds. The trials after the largest n are predicted for every n: without adaptation, with the mean residual,
with recall by all views, and after a few steps of Adam on the n written trials. Kernel, number of steps and learning
rate are chosen on training subjects, from models of three inner folds that held them out. MPCL has the settings FIXED
or those of --config, the MLP those that the search of the outer fold finds. The KL is a mean over windows, trials,
then subjects. Differences are to the same method with recall; p values are corrected by Holm over the table.
"""

import argparse
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import mpcl_jax as mpcl
from experiments.shared.fine_tune import fine_tune
from experiments.shared.table_command import ending, path, positive, shown_command, write_rows
from mpcl_jax.baselines import mlp, network
from mpcl_jax.baselines.selection import InnerFold, inner_folds
from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import apply_normalisation, fit_normalisation
from mpcl_jax.data.pipeline import load
from mpcl_jax.data.splits.protocols import Fold, make_split
from mpcl_jax.evaluation.comparison import task_of
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.evaluation.statistics import decide, paired_comparison, subject_interval
from mpcl_jax.model.outputs import variables
from mpcl_jax.model.recall_kernel import RecallKernel, views_of
from mpcl_jax.runs.forward import forward_passes
from mpcl_jax.runs.predict import finished_model, normalised, recall
from mpcl_jax.system.output import any_output
from mpcl_jax.train import in_memory
from mpcl_jax.train.fold_memory import predict_after
from mpcl_jax.train.memory_fit import VIEWS, learn
from mpcl_jax.train.sequences import HeldOut, trials_of
from mpcl_jax.types import Recordings, spec_of, take

PROTOCOL = "subject_kfold"
LEARNING_RATES, STEPS = (3e-4, 1e-3, 3e-3, 1e-2), 20
NONE, MEAN, RECALL, TUNED = "none", "mean residual", "recall", "fine-tuned"
MEMORIES = {MEAN: (), RECALL: VIEWS}
# The settings of configs/wesad.py, so that a fold takes seconds.
FIXED = {"epochs": 20, "width": 32, "dropout": 0.4, "input_dropout": 0.4, "learning_rate": 1e-3}


class Base(NamedTuple):
    """A trained model and the windows of subjects that it did not see."""

    held_out: HeldOut
    log_probs: Callable  # (parameters, inputs) -> [W, C]
    params: Any
    inputs: Callable[[np.ndarray], Any]  # rows of `held_out` -> inputs of the model


def mlp_bases(recordings: Recordings, fold: Fold, inner: list[Fold], seed: int, tries: int) -> Iterator[Base]:
    """The MLP of `fold`, then those of the inner folds with the same setting and number of epochs."""
    candidate = epochs = None
    for part in (fold, *inner):
        task = task_of(recordings, PROTOCOL, part)
        problem = network.make_problem(task.train)
        if candidate is None:
            drawn = network.draw_candidates(mlp.FIRST, mlp.WIDTHS, mlp.DEPTHS, seed=seed, tries=tries)
            folds = inner_folds(task.train.group, network.INNER_FOLDS)
            candidate, epochs = network.search(mlp.NETWORK, problem, folds, drawn, seed)
        everything = InnerFold(np.arange(len(task.train.x)), np.arange(0))
        params, _ = network.train_network(mlp.NETWORK, problem, everything, candidate, epochs, seed)
        log_probs = np.asarray(mlp.NETWORK.log_probs(params, task.x))
        tested, norm = take(recordings, part.test), fit_normalisation(take(recordings, part.train))
        views = views_of(apply_normalisation(tested.signals, tested.present, norm), log_probs)
        held_out = HeldOut(views, log_probs, tested.labels, tested.subject, tested.trial)
        yield Base(held_out, mlp.NETWORK.log_probs, params, lambda rows, x=task.x: x[rows])


def mpcl_bases(
    recordings: Recordings, fold: Fold, inner: list[Fold], seed: int, config: Config
) -> Iterator[Base]:
    """MPCL of `fold`, then those of the inner folds, all with the settings `config`."""
    log_probs = None
    for part in (fold, *inner):
        train, tested = take(recordings, part.train), take(recordings, part.test)
        (fit,) = in_memory.fit(config, train, np.zeros(len(train.labels), bool), [seed])
        model = finished_model(fit.config, spec_of(train), fit.norm, fit.params, fit.prototypes)
        output, _ = recall(model, tested.signals, tested.present)
        signals, present = normalised(model, tested.signals, tested.present, None)
        views = views_of(signals, output.log_probs, output.query)
        held_out = HeldOut(views, output.log_probs, tested.labels, tested.subject, tested.trial)
        if log_probs is None:  # the same object for all folds, so that it is compiled once
            log_probs = _log_probs_of(fit.config, spec_of(train))

        def inputs(rows, signals=signals, present=present, prototypes=fit.prototypes):
            return tuple({m: x[rows] for m, x in tree.items()} for tree in (signals, present)), prototypes

        yield Base(held_out, log_probs, fit.params, inputs)


def _log_probs_of(config: Config, spec):
    forward, _ = forward_passes(config, spec)

    def log_probs(params, inputs):
        (signals, present), prototypes = inputs
        return forward(variables(params, prototypes), signals, present)

    return log_probs


def subjects_of(held_out: HeldOut, most: int) -> list[list[np.ndarray]]:
    """The rows of each trial of every subject that has more than `most` trials, in the order of the recordings."""
    return [trials for trials in trials_of(held_out.subject, held_out.trial) if len(trials) > most]


def kl_of_later(held_out: HeldOut, trials: list[np.ndarray], log_probs: np.ndarray, most: int) -> np.ndarray:
    """KL of the trials after the first `most`, mean over windows, then trials.

    `log_probs` [..., W, C] of the windows of all `trials`, one after another.
    """
    y = held_out.labels[np.concatenate(trials)].astype(np.float64)
    kl = (y * (np.log(np.where(y > 0, y, 1.0)) - log_probs)).sum(-1)
    ends = np.cumsum([0, *map(len, trials)])
    return np.stack([kl[..., ends[t] : ends[t + 1]].mean(-1) for t in range(most, len(trials))]).mean(0)


def tuned_kl(base: Base, n: int, most: int, length: int) -> np.ndarray:
    """KL [S, learning rates, STEPS + 1] of each subject after each number of steps on its first `n` trials.

    `length`: windows to which subjects are padded, so that one program serves all of them.
    """
    held_out, found = base.held_out, []
    for trials in subjects_of(held_out, most):
        rows = np.concatenate(trials)
        weight = np.zeros(length, np.float32)
        weight[: sum(map(len, trials[:n]))] = np.concatenate(
            [np.full(len(t), 1 / len(t) / n) for t in trials[:n]]
        )
        padded = np.resize(rows, length)
        arguments = base.log_probs, base.params, base.inputs(padded), held_out.labels[padded], weight
        curves = [fine_tune(*arguments, rate, steps=STEPS)[1] for rate in LEARNING_RATES]
        log_probs = np.asarray(curves, np.float64)[:, :, : len(rows)]
        found.append(kl_of_later(held_out, trials, log_probs, most))
    return np.stack(found)


def memory_kl(held_out: HeldOut, kernel: RecallKernel | None, n: int, most: int) -> np.ndarray:
    """KL [S] of each subject after the memory with `kernel` (None: no memory) holds its first `n` trials."""
    found = []
    for trials in subjects_of(held_out, most):
        rows = np.concatenate(trials)
        own = HeldOut({v: x[rows] for v, x in held_out.views.items()}, *(x[rows] for x in held_out[1:]))
        log_probs = own.log_probs.astype(np.float64) if kernel is None else predict_after(kernel, own, n)
        found.append(kl_of_later(held_out, trials, log_probs, most))
    return np.stack(found)


def measure(bases: list[Base], written: list[int], length: int) -> dict[tuple[str, int], np.ndarray]:
    """(adaptation, n) -> KL [S] of each tested subject. `bases`: the model of the fold, then those of inner folds."""
    tested, *inner = bases
    training, most = _joined([base.held_out for base in inner]), max(written)
    kernels = {memory: learn(training, views).kernel for memory, views in MEMORIES.items()}
    found = {(NONE, 0): memory_kl(tested.held_out, None, 0, most)}
    for n in written:
        for memory, kernel in kernels.items():
            found[memory, n] = memory_kl(tested.held_out, kernel, n, most)
        curve = np.concatenate([tuned_kl(base, n, most, length) for base in inner]).mean(0)
        rate, steps = np.unravel_index(curve.argmin(), curve.shape)
        print(f"  n = {n}: learning rate {LEARNING_RATES[rate]}, {steps} steps", file=sys.stderr, flush=True)
        found[TUNED, n] = tuned_kl(tested, n, most, length)[:, rate, steps]
    return found


def _joined(parts: list[HeldOut]) -> HeldOut:
    views = {v: np.concatenate([part.views[v] for part in parts]) for v in parts[0].views}
    return HeldOut(views, *(np.concatenate(x) for x in zip(*(part[1:] for part in parts), strict=True)))


def inner_parts(recordings: Recordings, fold: Fold) -> list[Fold]:
    """Three folds of the training subjects of `fold`."""
    train = np.sort(np.concatenate([fold.train, fold.validation]))
    splits = inner_folds(recordings.subject[train])
    return [fold._replace(train=train[s.fit], validation=train[:0], test=train[s.held]) for s in splits]


def report(found: dict[tuple[str, str, int], np.ndarray]) -> list[dict[str, str]]:
    """A row of each method, adaptation and n: KL, its interval, and the difference to the same method with recall."""
    pairs = {key: (key[0], RECALL, key[2]) for key in found if key[1] in (MEAN, TUNED)}
    compared = decide([paired_comparison(found[a], found[b]) for a, b in pairs.items()])
    rows = []
    for key, kl in found.items():
        low, high = subject_interval(kl)
        row = {"method": key[0], "adaptation": key[1], "n": str(key[2]), "subjects": str(len(kl))}
        rows.append(
            row | {"kl": f"{kl.mean():.4f}", "interval": f"[{low:.4f}, {high:.4f}]", "minus_recall": ""}
        )
        if key in pairs:
            x = compared[list(pairs).index(key)]
            rows[-1]["minus_recall"] = (
                f"{x.difference:+.4f} [{x.low:+.4f}, {x.high:+.4f}], p {x.corrected:.3f}"
            )
    return rows


def data_and_settings(
    folder: pathlib.Path, preset: str | None, epochs: int | None
) -> tuple[Recordings, Config]:
    """The recordings in `folder` and the settings of MPCL; `preset`: a preset or config file that describes both.

    Raises ConfigError and DataError.
    """
    if preset is None:
        recordings = mpcl.load_dataset("folder", folder)
        config = mpcl.MPCLRegressor(**FIXED, early_stopping=False).to_config()
    else:
        config = from_command_line(preset, [f"--config.data.path={folder}"])
        recordings = load(config.data)
        # The recordings are standardised already.
        data = dataclasses.replace(config.data, per_subject_standardise=False)
        config = dataclasses.replace(config, data=data)
    if epochs is not None:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs))
    return recordings, config


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--data",
        type=path,
        required=True,
        help="recordings in the folder format, or of the data set of --config",
    )
    parser.add_argument("--config", help="preset or file with the data set and the settings of MPCL")
    parser.add_argument(
        "--written", nargs="+", type=positive, default=[1, 2, 4], help="numbers of written trials"
    )
    parser.add_argument("--methods", nargs="+", choices=("mlp", METHOD), default=("mlp", METHOD))
    parser.add_argument("--folds", type=positive, default=5, help="folds of subjects")
    parser.add_argument("--tries", type=positive, default=6, help="settings that the MLP compares")
    parser.add_argument("--epochs", type=positive, help="epochs of MPCL")
    parser.add_argument("--out", type=path, help="the .csv to write")
    args = parser.parse_args(words)
    with ending():
        recordings, config = data_and_settings(args.data, args.config, args.epochs)
        make = {
            "mlp": functools.partial(mlp_bases, seed=0, tries=args.tries),
            METHOD: functools.partial(mpcl_bases, seed=0, config=config),
        }
        length = int(np.unique(recordings.subject, return_counts=True)[1].max())
        found: dict[tuple[str, str, int], list] = {}
        for method in args.methods:
            for fold in make_split(recordings, ProtocolConfig(kind=PROTOCOL, folds=args.folds)).folds:
                print(f"{method}, {fold.name}", file=sys.stderr, flush=True)
                bases = list(make[method](recordings, fold, inner_parts(recordings, fold)))
                for key, kl in measure(bases, args.written, length).items():
                    found.setdefault((method, *key), []).append(kl)
        rows = report({key: np.concatenate(parts) for key, parts in found.items()})
        write_rows(rows, args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])

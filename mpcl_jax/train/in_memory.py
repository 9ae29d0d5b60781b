"""Trains one model on recordings in memory and writes no file: the training behind `MPCLRegressor.fit`."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np

from mpcl_jax.config.schema import Config
from mpcl_jax.data.splits.protocols import Fold, Split
from mpcl_jax.train.devices import keep_programs_of_callers, make_mesh, require_devices
from mpcl_jax.train.fit import Fit
from mpcl_jax.train.folds import device_rows, longest_of, stack
from mpcl_jax.train.held_out import can_be_held_out, nearest, predict_held_out, train_inner
from mpcl_jax.train.inner_selection import choose_stop
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.jax_settings import fixed_jax_settings
from mpcl_jax.train.loop import train_group
from mpcl_jax.train.progress import FoldProgress
from mpcl_jax.train.run import Run, arrays_of, as_member, longest_inner, program_of, with_sizes
from mpcl_jax.train.state import Training, TrainState, chosen_model
from mpcl_jax.train.writer import Skip, report_of_each, skipped_steps
from mpcl_jax.types import DataError, Recordings, spec_of

NAME = "all rows"  # of the only fold
Callback = Callable[[int, dict[str, float]], None]  # epoch, counted from 1, and the mean of every loss term


class History(contextlib.ExitStack):
    """Takes the place of `RunWriter`: keeps the report of every epoch and calls the callbacks."""

    def __init__(
        self, run: Run, member, start: Training | None, callbacks: Sequence[Callback], verbose: bool
    ):
        """`start`: a training whose parameters and memory are continued; `verbose` shows the progress."""
        super().__init__()
        self.reports: list[dict[str, float]] = []
        self.chosen: dict[str, dict] = {}
        self._run, self._member, self._start = run, member, start
        self._callbacks, self._verbose, self._progress = callbacks, verbose, None

    def restore(self, like: Training) -> tuple[int, list[Training]]:
        """No epoch is done; the training to continue, if any."""
        return 0, [] if self._start is None else [self._start]

    def start(self, done: int) -> None:
        """Shows the progress from here on."""
        if self._verbose:
            epochs, stop = self._run.config.train.epochs, self._member.stop
            samples = self._run.program.steps_per_epoch * self._run.config.train.batch_size
            self._progress = FoldProgress("fit", stop.epoch if stop else epochs, done, samples)
            self.callback(self._progress.close)

    def epoch(self, epoch: int, report: dict, slots, guard) -> list[list[Skip]]:
        """Keeps a finished epoch. Returns the skipped steps."""
        (of_epoch,) = report_of_each(report, [len(self._member.fold.validation) > 0])
        self.reports.append(of_epoch)
        if self._progress is not None:
            self._progress.update(epoch, of_epoch)
        for callback in self._callbacks:
            callback(epoch, dict(of_epoch))
        return skipped_steps(self._run, [self._member], epoch, guard) if of_epoch["skipped"] else [[]]

    def checkpoint(self, epoch: int, training: Training) -> None:
        """Writes nothing."""

    def choices(self, choices: dict[str, dict]) -> None:
        """Keeps the choice of the epoch."""
        self.chosen = choices[NAME]


@fixed_jax_settings()
def fit(
    config: Config,
    recordings: Recordings,
    validation: np.ndarray,
    seeds: Sequence[int],
    *,
    start: Sequence[Fit] = (),
    callbacks: Sequence[Callback] = (),
    verbose: bool = False,
    hold_out: bool = False,
) -> list[Fit]:
    """One model per seed, trained on all rows but `validation` [N] bool, by one compiled program.

    `config.data`, `protocol` and `benchmark` play no part. Inner folds keep subjects whole, or trials where there is
    a single subject. `start`: fits of the same shapes; their parameters and memory are continued by a new optimiser.
    `hold_out`: the first fit keeps predictions for subjects that inner folds held out, where enough have trials.

    Raises DataError for a modality that no training row has, TrainingError where training cannot go on with finite
    numbers.
    """
    require_devices()
    if config.log.keep_compiled:
        keep_programs_of_callers()
    rows = np.arange(len(recordings.labels))
    fold = Fold(NAME, "", rows[~validation], rows[validation], rows[:0])
    several = len(np.unique(recordings.subject)) > 1
    split = Split("subject_kfold" if several else "trial_kfold", False, "", (fold,), "")
    config, longest = with_sizes(config, split), longest_of(split.folds)
    if config.train.select == "inner":
        longest = longest._replace(validation=longest_inner(recordings, split))
    program = program_of(config, spec_of(recordings), longest.train, make_mesh(config))
    on_device = device_rows(recordings, program.replicated)
    run = Run(config, pathlib.Path(), recordings, split, program, longest, on_device, {}, stop=StopRequest())
    hold_out = hold_out and can_be_held_out(run, fold)
    return [
        _fit_seed(run, seed, begun, callbacks, verbose, hold_out and number == 0)
        for number, (seed, begun) in enumerate(zip(seeds, [*start, *[None] * len(seeds)], strict=False))
    ]


def _shapes(of: Fit | TrainState) -> dict:
    """Name -> shape of the arrays of a `Fit` or a `TrainState`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path((of.params, of.prototypes))
    return {jax.tree_util.keystr(path): x.shape for path, x in leaves}


def _fit_seed(
    run: Run, seed: int, begun: Fit | None, callbacks: Sequence[Callback], verbose: bool, hold_out: bool
) -> Fit:
    run = run._replace(config=dataclasses.replace(run.config, seed=seed))
    member = as_member(run, 0, run.split.folds[0])
    inner, kept = run.config.train.select == "inner", [] if hold_out else None
    if inner:
        member = member._replace(stop=choose_stop(run, member, kept))
    start = None
    if begun is not None:
        start = run.program.create(member.key, member.label_mean)
        if _shapes(begun) != _shapes(start.state):
            reason = "continues a fit with other modalities, features, emotions or sizes"
            raise DataError("warm_start", f"{reason}; set it to False, or use a clone of the model")
        state = start.state._replace(params=begun.params, prototypes=begun.prototypes)
        start = jax.device_put(start._replace(state=state), run.program.by_fold)
    arrays = stack(run.program, [arrays_of(run, member)])
    with History(run, member, start, callbacks, verbose) as history:
        training = train_group(run, [member], arrays, history)
    params, prototypes = jax.device_get(chosen_model(training))
    choice, held_out = history.chosen, None
    if hold_out:
        trained = inner and choice["epoch"] > 0
        models = nearest(kept, choice["epoch"]) if trained else train_inner(run, member, choice["epoch"])
        held_out = predict_held_out(run, models)
    kl = next((f", {choice[name]:.4f}" for name in ("inner_kl", "validation_kl") if name in choice), "")
    return Fit(
        config=run.config,
        norm=member.norm,
        params=params,
        prototypes=prototypes,
        epoch=choice["epoch"],
        choice=f"{choice['by']}{kl}",
        history=tuple(history.reports),
        held_out=held_out,
    )

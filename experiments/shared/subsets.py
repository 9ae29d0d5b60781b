"""A fold predicted from every non-empty subset of the modalities.

MPCL receives which modalities are absent. For a baseline an absent modality has the training mean, which is 0 after
z-scoring, in all its features; the baseline is fitted once, and its test rows are those of all subsets.
"""

import itertools
import pathlib
import shutil

import numpy as np

from mpcl_jax.baselines import registry
from mpcl_jax.baselines.selection import Block, RowInfo, columns_of
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.evaluation.comparison import task_of
from mpcl_jax.evaluation.jobs.keys import code_hash
from mpcl_jax.evaluation.jobs.table_run import Work
from mpcl_jax.evaluation.jobs.work import FOLD, Fit, begin_job, cached_table_data, run_of
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.train.evaluate import Trained, predict, predictions_of, with_modalities
from mpcl_jax.train.folds import stack
from mpcl_jax.train.interrupt import StopRequest, only_run_in
from mpcl_jax.train.loop import train_group
from mpcl_jax.train.run import arrays_of, member_of
from mpcl_jax.train.state import chosen_model
from mpcl_jax.train.writer import RunWriter

MOST = 8  # modalities; 255 subsets


def subsets_of(names: tuple[str, ...]) -> np.ndarray:
    """Every non-empty subset of `names` [Q, M] bool, the larger ones first. Raises ConfigError for more than 8."""
    if len(names) > MOST:
        raise ConfigError(
            f"config.data.modalities: {len(names)} modalities have too many subsets; name up to {MOST} of "
            f"{', '.join(names)}"
        )
    masks = [np.array(mask) for mask in itertools.product((True, False), repeat=len(names)) if any(mask)]
    return np.stack(sorted(masks, key=lambda mask: -mask.sum()))


def train_for_subsets(fit: Fit, stop: StopRequest) -> None:
    """Trains a fold and predicts its test rows from every subset."""
    begin_job(fit.folder, fit.key, fit.config)
    with only_run_in(fit.folder):
        run = run_of(fit)._replace(stop=stop)
        member = member_of(run, 0)
        arrays = stack(run.program, [arrays_of(run, member)])
        with RunWriter(run, [member]) as writer:
            training = train_group(run, [member], arrays, writer)
        trained = Trained(run.program, *chosen_model(training), run.rows, arrays, run.longest.test)
        subsets = subsets_of(tuple(run.recordings.signals))
        test = member.fold.test
        outputs = [predict(with_modalities(trained, kept), [test])[0][0] for kept in subsets]
        shares = [predictions_of(test, output).predicted for output in outputs]
        write_arrays(fit.result, {"subset": subsets, "predicted": np.stack(shares)})
        shutil.rmtree(fit.folder / FOLD / "checkpoints", ignore_errors=True)


def fit_for_subsets(fit: Fit, _: StopRequest) -> None:
    """Fits a baseline on a fold and predicts its test rows from every subset."""
    begin_job(fit.folder, fit.key, fit.config)
    recordings, whole, *_ = cached_table_data(fit.config)
    task = task_of(recordings, whole.protocol, whole.folds[fit.number])
    subsets = subsets_of(tuple(recordings.signals))
    x = np.concatenate([without(task.x, task.blocks, kept) for kept in subsets])
    info = RowInfo(*(np.tile(values, len(subsets)) for values in task.test_info))
    task = task._replace(x=x, test_info=info)
    shares = registry.predict(fit.method, task, seed=fit.seed, tries=fit.config.benchmark.tries).shares
    predicted = shares.reshape(len(subsets), -1, shares.shape[1]).astype(np.float32)
    write_arrays(fit.result, {"subset": subsets, "predicted": predicted})


def without(x: np.ndarray, blocks: tuple[Block, ...], kept: np.ndarray) -> np.ndarray:
    """`x` [M, P] with 0, the training mean, in all columns of the modalities (`blocks`) that are not `kept`."""
    x = x.copy()
    for block, keep in zip(blocks, kept, strict=True):
        if not keep:
            x[:, list(columns_of(block))] = 0
    return x


SUBSETS = Work(
    train_for_subsets,
    fit_for_subsets,
    "subsets.npz",
    {"result": "every subset of the modalities", "more_code": code_hash(pathlib.Path(__file__).resolve())},
)

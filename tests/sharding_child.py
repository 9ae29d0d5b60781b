"""Trains on eight virtual devices, for test_sharding.py: `python tests/sharding_child.py FOLDER`.

Leaves in FOLDER: `eight`, a run stopped after its first epoch of five steps; `whole`, the same run trained to its
end; `memory.npz`, the prototypes of `eight`; `answers.json`. One more epoch meets, in each of its steps, one sample
that is not finite, on one of the devices.
"""

import contextlib
import json
import os
import pathlib
import shutil
import sys

import jax

jax.config.update("jax_num_cpu_devices", 8)  # before any computation
jax.config.update("jax_compilation_cache_dir", os.environ["TEST_COMPILED"] or None)

import numpy as np  # noqa: E402
from run_fixture import SMALL, PowerCut, last_training, quickly_prepared, sharding_config  # noqa: E402

from mpcl_jax.config.resolve import ConfigError  # noqa: E402
from mpcl_jax.data.normalise import fit_normalisation  # noqa: E402
from mpcl_jax.train import folds, loop  # noqa: E402
from mpcl_jax.train.run import Run, prepare  # noqa: E402
from mpcl_jax.types import take  # noqa: E402


def train_first_epoch(run: Run) -> None:
    """Stops the run behind its first checkpoint."""
    epoch, calls = run.program.epoch, []

    def once(*inputs):
        if calls:
            raise PowerCut
        calls.append(None)
        # Many un-awaited executions on virtual devices end in a deadlock.
        return jax.block_until_ready(epoch(*inputs))

    once.lower = epoch.lower  # the start compiles it ahead
    with contextlib.suppress(PowerCut):
        loop.train_folds(run._replace(program=run.program._replace(epoch=once)))


def epoch_with_bad_samples(run: Run) -> dict:
    """What an epoch changes in each of whose steps one sample, on one device, is infinite."""
    fold, (_, training) = run.split.folds[0], last_training(run)
    norm = fit_normalisation(take(run.recordings, fold.train))
    arrays = folds.stack(run.program, [folds.fold_arrays(fold, norm, run.longest)])
    key = jax.random.key(3, impl="rbg")
    batches = np.asarray(run.program.batches(arrays, key))
    # 72 rows fill the batches of 16 up to place 7 of the last; two places of a batch lie on one device.
    bad = [*batches[:-1, 10], batches[-1, 7]]
    assert np.isin(batches, bad).sum(axis=1).tolist() == [1] * 5
    # In all modalities: those that dropout hides from a step do it no harm.
    signals = {m: x.copy() for m, x in run.recordings.signals.items()}
    for signal in signals.values():
        signal[bad, 0, 0] = [np.inf, np.inf, -np.inf, np.inf, -np.inf]
    present = {m: x | np.isin(np.arange(len(x)), bad) for m, x in run.recordings.present.items()}
    spoilt = run.recordings._replace(signals=signals, present=present)
    before = copies(training.state)
    rows = folds.device_rows(spoilt, run.program.replicated)
    after, (report, _) = run.program.epoch(training, rows, arrays, key)
    return {
        "skipped": float(report["skipped"]),
        "in a row": [np.asarray(x.data).tolist() for x in after.guard.skipped.addressable_shards],
        "changed": [
            f"{path} on device {device}"
            for path, held in copies(after.state).items()
            for device, content in enumerate(held)
            if content != before[path][0]
        ],
        "copies": sorted({len(held) for held in before.values()}),
    }


def copies(state) -> dict[str, list[bytes]]:
    """The bytes that each device holds of each array but the step."""
    leaves = jax.tree_util.tree_leaves_with_path(state._replace(step=None))
    return {
        jax.tree_util.keystr(path): [np.asarray(shard.data).tobytes() for shard in x.addressable_shards]
        for path, x in leaves
    }


def main(folder: pathlib.Path):
    run = quickly_prepared(sharding_config(**SMALL), folder / "eight")
    train_first_epoch(run)
    np.savez(folder / "memory.npz", **last_training(run)[1].state.prototypes._asdict())
    shutil.copytree(folder / "eight", folder / "whole")
    whole = run._replace(workdir=folder / "whole")
    loop.train_folds(whole)

    try:
        prepare(sharding_config(**SMALL, train__batch_size=12), folder / "twelve")
    except ConfigError as mistake:
        refused = str(mistake)

    answers = {
        "devices": jax.device_count(),
        "compiled": run.program.epoch._cache_size(),
        "refused": refused,
        "bad samples": epoch_with_bad_samples(whole),
    }
    (folder / "answers.json").write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

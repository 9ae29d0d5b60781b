"""200 folds and 20,000 steps in one process: memory, open files and compilations do not grow.

Tensorstore keeps about 250 bytes whenever it turns a specification into JSON (`tensorstore.KvStore.Spec.to_json`, all
versions from 0.1.76 to 0.1.86), which Orbax does once per array and save. The test measures this cost in the same
process, by Orbax alone, and subtracts it.
"""

import os
import pathlib
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from run_fixture import moved, quickly_prepared, tiny_config

from mpcl_jax.train.arrays import read_tree
from mpcl_jax.train.loop import train_folds

COMPILED = []


def count(event: str, *_, **__) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        COMPILED.append(event)


def resident() -> int:
    """Resident bytes of this process."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def kept_by_orbax(checkpoint: pathlib.Path, folder: pathlib.Path, saves: int) -> float:
    """Bytes that stay in memory after each of `saves` saves of the parts of a checkpoint, by Orbax alone."""
    names = ("state", "normalisation", "prototypes")
    trees = {name: jax.device_put(read_tree(checkpoint / name)) for name in names}
    parts = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}

    def save(number: int):
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
            writer.save(folder / str(number), args=ocp.args.Composite(**parts))
        shutil.rmtree(folder / str(number))

    for number in range(20):
        save(number)
    before = resident()
    for number in range(saves):
        save(number)
    return (resident() - before) / saves


@pytest.mark.long
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="reads /proc")
def test_200_folds_in_one_process(tmp_path):
    settings = {"train__epochs": 34, "train__checkpoint_every": 17}
    run = quickly_prepared(tiny_config(**settings), tmp_path / "run")
    assert run.program.steps_per_epoch == 3  # 102 steps a fold
    jax.monitoring.register_event_duration_secs_listener(count)
    memory, files, compiled = [], [], []
    for number in range(200):
        fold = slice(number % 3, number % 3 + 1)  # of 2, 2 and 1 subjects: other numbers of rows
        train_folds(moved(run, tmp_path / str(number), fold))
        if number < 199:
            shutil.rmtree(tmp_path / str(number))
        memory.append(resident())
        files.append(len(os.listdir("/proc/self/fd")))
        compiled.append(len(COMPILED))
    early, late = np.median(memory[20:40]), np.median(memory[-20:])
    (last,) = (tmp_path / "199" / "folds").iterdir()
    orbax = 2 * 160 * kept_by_orbax(last / "checkpoints" / "34", tmp_path, 150)  # two saves of each fold
    print(
        f"200 folds, {200 * 34 * 3:,} steps: memory {early / 1e6:.0f} MB (folds 21 to 40) to {late / 1e6:.0f} MB "
        f"(last 20), of which Orbax keeps {orbax / 1e6:.0f} MB; open files {files[2]} to {files[-1]}, "
        f"compilations {compiled[0]} after the first fold, {compiled[-1]} after the last"
    )
    assert late - orbax < 1.02 * early
    assert files[-1] <= files[2]
    assert compiled[-1] == compiled[0]

"""One of several processes, for test_processes.py: `python tests/processes_child.py FOLDER PORT COUNT ID TASK`.

all    trains one fold with the batch dealt out over all processes (FOLDER/training), then a table whose folds are
       dealt out (FOLDER/table); tries what must be refused; leaves answers_ID.json
dies   the same, but process 1 kills itself after the first epoch
longer trains sixteen epochs, with a checkpoint after each (FOLDER/training)
"""

import json
import os
import pathlib
import signal
import sys
import time

import jax

jax.config.update("jax_num_cpu_devices", 1)  # before any computation
jax.config.update("jax_compilation_cache_dir", os.environ["TEST_COMPILED"] or None)

from run_fixture import forty_epochs, quickly_prepared, sharding_config, table_config  # noqa: E402

from mpcl_jax.config.resolve import ConfigError, ProcessError  # noqa: E402
from mpcl_jax.config.schema import Config  # noqa: E402
from mpcl_jax.system.errors import StorageError  # noqa: E402
from mpcl_jax.train import loop, processes  # noqa: E402
from mpcl_jax.train.run import Run  # noqa: E402
from mpcl_jax.types import DataFileError  # noqa: E402


def dies_after_an_epoch(run: Run) -> Run:
    """The same run, whose process is gone before it asks for the second epoch."""
    epoch, calls = run.program.epoch, []

    def mortal(*inputs):
        calls.append(None)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return epoch(*inputs)

    return run._replace(program=run.program._replace(epoch=mortal))


def refused(act) -> str:
    try:
        act()
    except (ConfigError, ProcessError, DataFileError, StorageError, RuntimeError, KeyError) as mistake:
        return f"{type(mistake).__name__}: {mistake}"
    return "nothing"


def answers(folder: pathlib.Path, config: Config, run: Run) -> dict[str, str]:
    """What this process is told where something is wrong; the last answer takes its patience of 5 s."""
    process = config.distributed.process_id
    other_seed = sharding_config(seed=process)
    other_dropout = sharding_config(model__dropout=0.3)
    impatient = sharding_config(distributed__timeout=5).distributed

    def comes_late():
        time.sleep(7 * process)
        processes.meet("the end", impatient)

    def fails(error):
        raise error

    mistakes = (DataFileError("manifest.json", "is damaged"), StorageError("no room"), KeyError("x"))
    return {
        "mistakes": [refused(lambda x=x: processes.by_first(lambda: fails(x))) for x in mistakes],
        "other seed": refused(lambda: quickly_prepared(other_seed, folder / "seed")),
        "other folder": refused(lambda: quickly_prepared(other_dropout, run.workdir)),
        "late": refused(comes_late),
    }


def train_table(folder: pathlib.Path, where: dict):
    table = table_config(**where, train__folds_at_once=2, distributed__fold_axis=2)
    loop.train_folds(quickly_prepared(table, folder / "table"))


def main(folder: pathlib.Path, port: str, count: str, number: str, task: str):
    where = {
        "distributed__start": "given",
        "distributed__coordinator": f"127.0.0.1:{port}",
        "distributed__process_count": int(count),
        "distributed__process_id": int(number),
        "distributed__heartbeat": 20,
        "distributed__timeout": 1200,
    }
    config = forty_epochs(16, **where) if task == "longer" else sharding_config(**where)
    processes.start(config.distributed)
    with processes.together():
        run = quickly_prepared(config, folder / "training")
        loop.train_folds(dies_after_an_epoch(run) if (task, number) == ("dies", "1") else run)
    if task != "longer":
        train_table(folder, where)
        told = answers(folder, config, run)
        (folder / f"answers_{number}.json").write_text(json.dumps(told, indent=1))
    processes.finish()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])

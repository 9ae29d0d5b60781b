"""One of several processes, for test_processes.py: `python tests/processes_child.py FOLDER PORT COUNT ID TASK`.

all    trains one fold with the batch divided over all processes (FOLDER/training), then a table whose folds are
       divided over them (FOLDER/table)
dies   the same with a small model; then tries what must be refused, which leaves answers_ID.json; then one more
       training, in which process 1 kills itself after the first epoch (FOLDER/dies)
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

from run_fixture import SMALL, forty_epochs, moved, quickly_prepared, sharding_config, table_config  # noqa: E402

from mpcl_jax.config.resolve import ConfigError, ProcessError  # noqa: E402
from mpcl_jax.config.schema import Config  # noqa: E402
from mpcl_jax.system.errors import StorageError  # noqa: E402
from mpcl_jax.train import loop, processes  # noqa: E402
from mpcl_jax.train.run import Run  # noqa: E402
from mpcl_jax.types import DataError  # noqa: E402


def killed_after_an_epoch(run: Run) -> Run:
    """The same run, in which this process kills itself before the second epoch."""
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
    except (ConfigError, ProcessError, DataError, StorageError, RuntimeError, KeyError) as mistake:
        return f"{type(mistake).__name__}: {mistake}"
    return "nothing"


def answers(folder: pathlib.Path, config: Config, run: Run) -> dict[str, str]:
    """The errors of this process where something is wrong; the last one takes the patience of 5 s."""
    process = config.distributed.process_id
    other_seed = sharding_config(**SMALL, seed=process)
    other_dropout = sharding_config(**SMALL, model__dropout=0.3)
    impatient = sharding_config(distributed__timeout=5).distributed

    def comes_late():
        time.sleep(7 * process)
        processes.meet("the end", impatient)

    def fails(error):
        raise error

    mistakes = (DataError("manifest.json", "is damaged"), StorageError("no room"), KeyError("x"))
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
        "distributed__heartbeat": 20 if task == "longer" else 10,
        "distributed__timeout": 1200,
    }
    where |= SMALL if task == "dies" else {}
    config = forty_epochs(16, **where) if task == "longer" else sharding_config(**where)
    processes.start(config.distributed)
    with processes.together():
        run = quickly_prepared(config, folder / "training")
        loop.train_folds(run)
    if task != "longer":
        train_table(folder, where)
    if task == "dies":
        errors = answers(folder, config, run)
        (folder / f"answers_{number}.json").write_text(json.dumps(errors, indent=1))
        again = moved(run, folder / "dies")
        with processes.together():
            loop.train_folds(killed_after_an_epoch(again) if number == "1" else again)
    processes.finish()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])

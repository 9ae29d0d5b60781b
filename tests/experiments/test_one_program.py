"""experiments/speed/one_program.py: all folds by one program, and each by its own."""

import re

import pytest
from python_process import QUICK, python
from table_fixture import config_file


@pytest.mark.long
def test_folds_and_seeds_share_what_the_loop_compiles_again(tmp_path):
    config = config_file(tmp_path)  # all three folds
    words = ("-m", "experiments.speed.one_program", "--config", config, "--seeds=2", "--anew=2")
    ended = python(*words, **QUICK)
    counts = re.findall(r"(.*): (\d+) trainings, (\d+) programs compiled", ended.stdout)
    (_, shared, by_one), (_, anew, by_many) = counts
    assert (shared, anew) == ("6", "2")
    # About ten tiny programs are JAX's own; three (create, epoch, predict) are made once for six trainings by one
    # program, and twice for two trainings by programs of their own.
    assert int(by_many) > int(by_one)
    assert re.search(r"the loop takes \d+\.\d times as long", ended.stdout)

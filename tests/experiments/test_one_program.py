"""experiments/speed/one_program.py: all folds by one program, and each by its own."""

import re
import subprocess
import sys

import pytest
from table_fixture import ROOT, config_file, environment


@pytest.mark.long
def test_folds_and_seeds_share_what_the_loop_compiles_again(tmp_path):
    config = config_file(tmp_path)  # all three folds
    command = [
        sys.executable,
        "-m",
        "experiments.speed.one_program",
        "--config",
        str(config),
        "--seeds=2",
        "--anew=2",
    ]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr
    counts = re.findall(r"(.*): (\d+) trainings, (\d+) programs compiled", ended.stdout)
    (_, shared, by_one), (_, anew, by_many) = counts
    assert (shared, anew) == ("6", "2")
    # About ten tiny programs are JAX's own; three (create, epoch, predict) are made once for six trainings by one
    # program, and twice for two trainings by programs of their own.
    assert int(by_many) > int(by_one)
    assert re.search(r"the loop takes \d+\.\d times as long", ended.stdout)

"""Are the tests any good? Planted defects, each of which some test has to notice."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from planted_defects import DEFECTS, Defect

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda x: f"{x.file}: {x.bad}"[:60])
def test_every_defect_fits_one_place(defect):
    assert (ROOT / "mpcl_jax" / defect.file).read_text().count(defect.good) == 1


def is_noticed(defect: Defect, folder: pathlib.Path) -> bool:
    """Whether one of the tests of a defect fails, in a copy of the sources."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "runs", "__pycache__", "results"))
    file = folder / "mpcl_jax" / defect.file
    file.write_text(file.read_text().replace(defect.good, defect.bad))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *defect.tests.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stdout[-2000:]
    return ended.returncode == 1


@pytest.mark.long
def test_without_a_defect_nothing_is_noticed(tmp_path):
    everything = " ".join(sorted({test for defect in DEFECTS for test in defect.tests.split()}))
    assert not is_noticed(DEFECTS[0]._replace(bad=DEFECTS[0].good, tests=everything), tmp_path / "copy")


@pytest.mark.long
def test_95_percent_of_the_defects_are_noticed(tmp_path):
    missed = []
    for number, defect in enumerate(DEFECTS, 1):
        if not is_noticed(defect, tmp_path / "copy"):
            missed.append(defect)
            print("missed:", defect, flush=True)
        print(f"{number - len(missed)} of {number} noticed", flush=True)
    assert len(DEFECTS) >= 30 and len(missed) <= 0.05 * len(DEFECTS)

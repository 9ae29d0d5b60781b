"""Order of the tests, the cache of compiled programs, and the fixtures that several files share."""

import importlib.metadata
import os
import sys

import hypothesis
import jax
import pytest
from browser_fixture import chromium
from filelock import FileLock

from mpcl_jax.data.io.cache import user_folder

# Files that take about ten seconds or more, the slowest first: two workers that begin with them end together.
SLOW_FILES = (
    "test_processes.py",
    "test_regressor.py",
    "test_docs.py",
    "test_notebooks.py",
    "test_run.py",
    "test_written_trials.py",
    "test_end_to_end.py",
    "test_main_table.py",
    "test_step.py",
    "test_export.py",
    "test_predecessors.py",
    "test_page.py",
    "test_sharding.py",
    "test_evaluation.py",
    "test_report.py",
    "test_adaptation.py",
    "test_replay.py",
    "test_folds.py",
    "test_security.py",
    "test_memory_cost.py",
    "test_sealed.py",
    "test_precision.py",
    "test_workers.py",
    "test_adapt_command.py",
)


def pytest_configure(config):
    """Keeps compiled programs between runs, apart for each jaxlib: compiling takes most of the time of these tests.

    Property tests draw the same examples in every run, however slow the machine is.
    """
    folder = user_folder() / f"tests-jaxlib-{importlib.metadata.version('jaxlib')}"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    profile = {"deadline": None, "derandomize": True, "max_examples": 50, "database": None}
    hypothesis.settings.register_profile("tests", **profile)
    hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(items):
    """Sorts the slow files to the front."""
    place = {name: number for number, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives all tests of a file to one worker, because they share fixtures; `--dist` chooses another scheduler."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # keeps the order above
    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """Saves a third of the time of a checkpoint: those of tests need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _process_as_before():
    """A file leaves JAX as it found it and no worker with its environment: files run in any order and process."""
    before = dict(jax.config.values)
    yield
    for name, value in before.items():
        if jax.config.values[name] != value:
            jax.config.update(name, value)
    if "mpcl_jax.train.run" in sys.modules:  # programs may come from what the file has replaced
        sys.modules["mpcl_jax.train.run"].shared_program.cache_clear()
    if "joblib.externals.loky" in sys.modules:
        sys.modules["joblib.externals.loky"].get_reusable_executor().shutdown()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The finished run of one fold of three, and its predictions; only for reading.

    The folder is shared by all workers: the first one trains, the others read what it saved.
    """
    from run_fixture import quickly_prepared, tiny_config

    from mpcl_jax.train.loop import train_folds

    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with FileLock(root / "trained.lock"):
        run = quickly_prepared(tiny_config(protocol__only=(0,)), root / "trained")
        (predictions,) = train_folds(run)
    return run, predictions


@pytest.fixture(scope="module")
def quick_programs():
    """Trainings and predictions of this file compile fast and run slowly; equal ones are compiled once."""
    from run_fixture import programs_compiled_fast_and_once

    with programs_compiled_fast_and_once():
        yield


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all pages; tests that need it are skipped where there is none."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def strict_shapes():
    """Makes unintended broadcasting between arrays of different rank an error."""
    with jax.numpy_rank_promotion("raise"):
        yield

"""Where compiled programs are kept between test runs, and the strict broadcasting of the model's tests."""

import importlib.metadata
import os

import jax
import pytest
from browser_fixture import chromium

from mpcl_jax.data.io.cache import user_folder


def pytest_configure(config):
    """Compilation takes most of the time of these tests; entries of another jaxlib have crashed others."""
    folder = user_folder() / f"tests-jaxlib-{importlib.metadata.version('jaxlib')}"
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all pages; tests that need it are skipped where there is none."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def strict_shapes():
    """Broadcasting between arrays of different rank, that nobody asked for, is an error here."""
    with jax.numpy_rank_promotion("raise"):
        yield

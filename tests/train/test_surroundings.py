"""What is set for JAX outside does not reach a run, and what cannot be used is one line."""

import pathlib

import jax
import pytest

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.evaluation.jobs.work import begin_job
from mpcl_jax.train import devices
from mpcl_jax.train.jax_settings import FIXED, fixed_jax_settings
from mpcl_jax.train.start import start_jax

ODD = {
    "jax_enable_x64": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_default_matmul_precision": "bfloat16",
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 7,
    "jax_transfer_guard": "disallow",
    "jax_debug_nans": True,
    "jax_disable_jit": True,
}


@pytest.fixture
def odd_settings():
    """JAX as a user's notebook may have set it; returns how."""
    kept = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in (*ODD, *kept)}
    for name, value in ODD.items():
        jax.config.update(name, value)
    yield {name: jax.config.values[name] for name in ODD}
    for name, value in before.items():
        jax.config.update(name, value)


def test_pinned_are_the_defaults_of_jax():
    known = {name: value for name, value in FIXED.items() if name in jax.config.values}
    assert len(known) > 15
    assert {name: jax.config.values[name] for name in known} | {"jax_transfer_guard": "allow"} == known


@pytest.mark.parametrize("begin", [start_jax, lambda: begin_job(pathlib.Path("job"), {}, Config())])
def test_a_command_and_its_workers_set_jax_for_themselves(odd_settings, tmp_path, monkeypatch, begin):
    assert odd_settings == ODD
    monkeypatch.chdir(tmp_path)
    begin()
    assert {name: jax.config.values[name] for name in ODD} == {name: FIXED[name] for name in ODD}


def test_a_call_from_a_notebook_changes_nothing_behind_it(odd_settings):
    with fixed_jax_settings():
        assert jax.numpy.ones(1).dtype == "float32" and jax.config.jax_enable_x64 is False
        assert (jax.numpy.ones(2) * jax.numpy.ones((1, 2), "bfloat16")).shape == (1, 2)
    assert {name: jax.config.values[name] for name in ODD} == odd_settings
    assert jax.config.jax_enable_x64 is True


def test_settings_that_are_not_used_are_named(monkeypatch, capsys):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    start_jax()
    message = capsys.readouterr().err
    assert message == "warning: runs do not use what the shell sets: JAX_ENABLE_X64\n"


@pytest.mark.parametrize(
    "error, words",
    [
        (RuntimeError("Unable to initialize backend 'tpu':\n in use by process 7"), "in use by process 7"),
        (AssertionError(), "no such backend is installed"),
    ],
)
def test_devices_that_are_not_there_are_one_line(monkeypatch, error, words):
    def fail():
        raise error

    monkeypatch.delenv("JAX_PLATFORM_NAME", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(devices.jax, "devices", fail)
    with pytest.raises(ConfigError) as caught:
        start_jax()
    message = str(caught.value)
    assert message.startswith("JAX_PLATFORMS = 'cuda' cannot be used (") and "\n" not in message
    assert words in message and "unset JAX_PLATFORMS" in message
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(ConfigError, match="no device can be used .*set JAX_PLATFORMS=cpu"):
        start_jax()


def test_flags_that_xla_does_not_know_are_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_nothing_like_this=1")
    with pytest.raises(ConfigError, match="XLA_FLAGS cannot be used .*--xla_nothing_like_this"):
        start_jax()
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    start_jax()

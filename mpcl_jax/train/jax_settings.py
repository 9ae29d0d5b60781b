"""JAX settings of the shell or a notebook do not change the numbers of a run.

The user may set devices (JAX_PLATFORMS, JAX_NUM_CPU_DEVICES, …), logs, and options of the compiler (XLA_FLAGS).
"""

import contextlib
import os
import re
import subprocess
import sys

import jax

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import DistributedConfig
from mpcl_jax.system.output import warn
from mpcl_jax.train import processes

# JAX's own defaults. Other values change numbers, or end correct programs.
FIXED = {
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_disable_jit": False,
    "jax_numpy_rank_promotion": "allow",
    "jax_legacy_prng_key": "allow",
    "jax_enable_custom_prng": False,
    "jax_transfer_guard": "allow",  # sets those of each direction, too
    "jax_debug_nans": False,  # the run itself skips and reports a step that is not finite
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_check_tracer_leaks": False,
    "jax_array_garbage_collection_guard": None,
    "jax_thread_guard": False,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_raise_persistent_cache_errors": False,
}


def start_jax(distributed: DistributedConfig | None = None) -> None:
    """Begins a command that computes: sets JAX's settings, joins the other processes, finds the devices.

    Raises ConfigError where XLA_FLAGS or JAX_PLATFORMS cannot be used, and what `processes.start` raises.
    """
    fix_jax_settings()
    if ignored := [name for name in map(str.upper, FIXED) if name in os.environ]:
        warn(f"runs do not use what the shell sets: {', '.join(ignored)}")
    _require_flags()
    if distributed is not None:
        processes.start(distributed)
    _require_devices()


def fix_jax_settings() -> None:
    """Sets the JAX of this process, in all its threads, to what every run uses."""
    for name, value in FIXED.items():
        if name in jax.config.values:  # another version may lack it
            jax.config.update(name, value)


@contextlib.contextmanager
def restored_jax_settings():
    """Restores afterwards the settings that `fix_jax_settings` changes."""
    before = {name: jax.config.values[name] for name in FIXED if name in jax.config.values}
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@contextlib.contextmanager
def fixed_jax_settings():
    """The same inside the block and in this thread only, for calls from a user's own program."""
    with contextlib.ExitStack() as stack:
        for name, value in FIXED.items():
            setting = getattr(jax, name.removeprefix("jax_"), None)
            if setting is not None:
                stack.enter_context(setting(value))
        yield


def _require_flags() -> None:
    """Refuses flags at which XLA would end this process without a Python error; they are tried in another one."""
    if not os.environ.get("XLA_FLAGS"):
        return
    probe = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    tried = subprocess.run(
        [sys.executable, "-P", "-c", probe],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if tried.returncode and (reason := re.search(r"parse_flags_from_env\S*\] (.*)", tried.stderr)):
        raise ConfigError(
            f"the environment variable XLA_FLAGS cannot be used ({reason[1]}); correct or unset it"
        )


def _require_devices() -> None:
    """Refuses devices that JAX does not find, or that another process holds."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where CUDA is wanted and not installed
        reason = " ".join(str(error).split())[:300] or "no such backend is installed"
        name = next((x for x in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if os.environ.get(x)), "")
        what = f"{name} = {os.environ[name]!r} cannot be used" if name else "no device can be used"
        raise ConfigError(
            f"{what} ({reason}); {f'unset {name}' if name else 'set JAX_PLATFORMS=cpu'}, or install what the device "
            "needs (pip install 'mpcl-jax[cuda]' or 'mpcl-jax[tpu]') and end other programs that hold it"
        ) from error

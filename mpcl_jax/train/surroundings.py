"""What the shell or a notebook has set for JAX does not reach the numbers of a run.

Left to the user are devices (JAX_PLATFORMS, JAX_NUM_CPU_DEVICES, …), logs, and the compiler's options (XLA_FLAGS).
"""

import contextlib
import os
import re
import subprocess
import sys

import jax

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import DistributedConfig
from mpcl_jax.train import processes
from mpcl_jax.train.progress import warn

# JAX's own defaults. The first group changes numbers; the second ends programs that are sound.
PINNED = {
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
    "jax_transfer_guard": "allow",  # this one sets those of each direction, too
    "jax_debug_nans": False,  # a step that is not finite is skipped and told by the run itself
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_check_tracer_leaks": False,
    "jax_array_garbage_collection_guard": None,
    "jax_thread_guard": False,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_raise_persistent_cache_errors": False,
}


def settle(distributed: DistributedConfig | None = None) -> None:
    """Begins a command that computes: pins JAX's settings, joins the other processes, finds the devices.

    Raises ConfigError where XLA_FLAGS or JAX_PLATFORMS cannot be used, and what `processes.start` raises.
    """
    pin_settings()
    if ignored := [name for name in map(str.upper, PINNED) if name in os.environ]:
        warn(f"runs do not use what the shell sets: {', '.join(ignored)}")
    _require_flags()
    if distributed is not None:
        processes.start(distributed)
    _require_devices()


def pin_settings() -> None:
    """Sets the JAX of this process, in all its threads, to what every run uses."""
    for name, value in PINNED.items():
        if name in jax.config.values:  # another version may lack it
            jax.config.update(name, value)


@contextlib.contextmanager
def pinned_settings():
    """Inside, and in this thread only, JAX is set to what every run uses: for calls from a user's own program."""
    with contextlib.ExitStack() as stack:
        for name, value in PINNED.items():
            setting = getattr(jax, name.removeprefix("jax_"), None)
            if setting is not None:
                stack.enter_context(setting(value))
        yield


def _require_flags() -> None:
    """Refuses flags at which XLA would end this process without a word of Python, tried in another one."""
    if not os.environ.get("XLA_FLAGS"):
        return
    look = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    tried = subprocess.run(
        [sys.executable, "-P", "-c", look],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if tried.returncode and (said := re.search(r"parse_flags_from_env\S*\] (.*)", tried.stderr)):
        raise ConfigError(
            f"the environment variable XLA_FLAGS cannot be used ({said[1]}); correct or unset it"
        )


def _require_devices() -> None:
    """Refuses devices that JAX does not find, or that another process holds."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where CUDA is asked for and not installed
        said = " ".join(str(error).split())[:300] or "no such backend is installed"
        name = next((x for x in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if os.environ.get(x)), "")
        what = f"{name} = {os.environ[name]!r} cannot be used" if name else "no device can be used"
        raise ConfigError(
            f"{what} ({said}); {f'unset {name}' if name else 'set JAX_PLATFORMS=cpu'}, or install what the device "
            "needs (pip install 'mpcl-jax[cuda]' or 'mpcl-jax[tpu]') and end other programs that hold it"
        ) from error

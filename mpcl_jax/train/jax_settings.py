"""JAX settings of the shell or a notebook do not change the numbers of a run.

The user may set devices (JAX_PLATFORMS, JAX_NUM_CPU_DEVICES, …), logs, and options of the compiler (XLA_FLAGS).
"""

import contextlib

import jax

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

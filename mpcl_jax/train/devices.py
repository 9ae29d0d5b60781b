"""Devices: the mesh a run lies on, and where compiled programs are kept between runs."""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jaxlib
from jax.sharding import AxisType, Mesh

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.data.io.cache import delete_oldest, user_folder
from mpcl_jax.system.os_errors import reason_of
from mpcl_jax.system.paths import require_writable
from mpcl_jax.train.jax_settings import fixed_jax_settings

MOST_KEPT = 10**9  # bytes of compiled programs in a folder; about 2,000 programs


def require_devices() -> None:
    """Raises ConfigError where JAX does not find the devices (JAX_PLATFORMS), or another process holds them."""
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


def make_mesh(config: Config) -> Mesh:
    """The devices of all processes along two axes: `fold`, which never communicates, and `data`, the batch.

    The devices of a process are neighbours, so that the axis `fold` crosses the slow links. Raises ConfigError where
    devices, folds and global batch cannot be divided evenly. The axes are of type Auto: JAX's default, Explicit,
    needs a sharding at every indexing operation of Flax.
    """
    devices, folds, batch = jax.device_count(), config.distributed.fold_axis, config.train.batch_size
    if devices % folds:
        raise ConfigError(
            f"config.distributed.fold_axis = {folds}: must divide the number of devices, {devices}"
        )
    if batch % (devices // folds):
        each = "" if folds == 1 else f" / config.distributed.fold_axis = {devices // folds}"
        wanted = f"must be a multiple of the number of devices, {devices}{each}"
        raise ConfigError(f"config.train.batch_size = {batch}: {wanted}")
    return jax.make_mesh((folds, devices // folds), ("fold", "data"), axis_types=(AxisType.Auto,) * 2)


def compiled(function, *, once: bool = False, **options):
    """`jax.jit`, on CPUs without what makes XLA slow to compile and the program no faster.

    Without fusion emitters compilation takes two thirds of the time and half the memory, at LLVM's first level of
    optimisation a fifth less again; a step takes as long (docs/speed.md). Programs that run `once` are not optimised.
    """
    quick = _quick_to_compile()
    if once and jax.default_backend() == "cpu":
        quick = quick | {"xla_backend_optimization_level": 0}
    return jax.jit(function, compiler_options=quick, **options)


@functools.cache
def _quick_to_compile() -> dict[str, bool | int]:
    if jax.default_backend() != "cpu":
        return {}
    level = {"xla_backend_optimization_level": 1}
    options = level | {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(1.0)
    except jax.errors.JaxRuntimeError:  # a newer XLA has no such option
        return level
    return options


@contextlib.contextmanager
def compiled_meanwhile(function, *arguments) -> Iterator[None]:
    """Compiles the jitted `function` while the body runs, and waits for it where the body ends.

    The next call with `arguments` (arrays, or `jax.ShapeDtypeStruct` with their shardings) finds the program and
    compiles nothing. What XLA raises is raised where the body ends. Several processes must compile in the same order,
    so there nothing is done ahead.
    """
    if jax.process_count() > 1:
        yield
        return
    with ThreadPoolExecutor(1) as thread:
        # The settings inside `fixed_jax_settings` hold for one thread.
        compiling = thread.submit(fixed_jax_settings()(lambda: function.lower(*arguments).compile()))
        yield
        compiling.result()


def keep_compiled_programs() -> str:
    """Keeps compiled programs in the user's cache folder, apart for each version of jaxlib and kind of processor.

    Both are in the path because an entry of another version may crash, and one for another processor may hold
    instructions that this one lacks (machines share home folders). Returns "", or why nothing is kept.
    `config.log.keep_compiled` turns it off.
    """
    try:
        folder = _folder_of_programs()
        require_writable(folder)
    except OSError as error:
        return reason_of(error)
    delete_oldest(folder, MOST_KEPT)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A forward pass takes a few tenths to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return ""


def keep_programs_of_callers() -> None:
    """The same for calls from a user's own program: a folder that JAX was given stays, and nothing is raised."""
    if jax.config.jax_compilation_cache_dir is None:
        keep_compiled_programs()


def keeps_programs() -> bool:
    """Whether compiled programs are kept in the user's cache folder, by one process with one device."""
    with contextlib.suppress(OSError):
        used = jax.config.jax_compilation_cache_dir
        return jax.device_count() == 1 and used is not None and used == str(_folder_of_programs())
    return False


def _folder_of_programs() -> pathlib.Path:
    return user_folder() / f"compiled-jaxlib-{jaxlib.__version__}-{_processor()}"


def _processor() -> str:
    """A short name for the instructions of this processor."""
    known = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):  # Linux alone has it
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known += sorted({x for x in lines if x.startswith(("model name", "flags", "Features"))})
    return f"{platform.machine()}-{hashlib.sha256(repr(known).encode()).hexdigest()[:8]}"

"""Devices: the mesh a run lies on, and where compiled programs are kept between runs."""

import jax
import jaxlib
from jax.sharding import AxisType, Mesh

from mpcl_jax.config import ConfigError
from mpcl_jax.data.cache import user_folder


def make_mesh(batch_size: int) -> Mesh:
    """One axis, `data`, over all devices.

    Raises ConfigError where the global batch can not be split evenly. The axis is of type Auto: JAX's default,
    Explicit, would ask for a sharding at every indexing operation of Flax.
    """
    devices = jax.device_count()
    if batch_size % devices:
        raise ConfigError(
            f"config.train.batch_size = {batch_size}: must be a multiple of the number of devices, {devices}"
        )
    return jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))


def keep_compiled_programs() -> None:
    """Keeps compiled programs in the user's cache folder, apart for each version of jaxlib.

    An entry written by another version has crashed others, hence the version in the path. A folder that can
    not be written is JAX's own warning, not an error.
    """
    folder = user_folder() / f"compiled-jaxlib-{jaxlib.__version__}"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

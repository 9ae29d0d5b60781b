"""Settings: their schema (`schema`, `data`, `model`), and how they are read, checked and described."""

from mpcl_jax.config.config_file import preset
from mpcl_jax.config.resolve import default

__all__ = ["default", "preset"]

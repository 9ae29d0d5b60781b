"""Settings: what there is (`schema`, `data`, `model`), what is allowed (`fields`), how they are read and checked."""

from mpcl_jax.config.resolve import default

__all__ = ["default"]

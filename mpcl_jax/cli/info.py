"""Prints versions, devices and cache folders for a bug report.

mpcl info
"""

import os

from mpcl_jax.cli.command import Parser, command, importing_jax
from mpcl_jax.data.io.cache import user_folder


@command
def run(arguments: list[str]) -> None:
    """Prints one line per fact."""
    Parser("info", __doc__).parse_args(arguments)
    with importing_jax():
        from mpcl_jax.train.environment import environment

    variables = {
        name: value for name, value in sorted(os.environ.items()) if name.startswith(("JAX_", "XLA_"))
    }
    try:
        cache = str(user_folder())
    except OSError as error:
        cache = f"none ({error.strerror}; set XDG_CACHE_HOME)"
    facts = environment() | {"cache": cache} | variables
    for name, value in facts.items():
        print(f"{name:18s} {value}")

"""The start of a command that computes: JAX's settings, the other processes, the devices."""

import os
import re
import subprocess
import sys

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import DistributedConfig
from mpcl_jax.system.output import warn
from mpcl_jax.train import processes
from mpcl_jax.train.devices import require_devices
from mpcl_jax.train.jax_settings import FIXED, fix_jax_settings


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
    require_devices()


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

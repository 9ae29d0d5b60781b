"""What a run was made with, for `environment.json`: versions, kind of machine, commit. No paths, no host names."""

import os
import pathlib
import platform
import subprocess
from importlib import metadata

import jax

from mpcl_jax import __version__

# Packages that can change a result, and those that read and write the files.
PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "chex", "einops", "numpy", "scipy", "scikit-learn", "ml-collections"),
    *("ml-dtypes", "orbax-checkpoint", "tensorstore"),
)


def environment() -> dict[str, str | int]:
    """A flat document, ready for JSON; a package that is not installed is left out."""
    kinds = [device.device_kind for device in jax.devices()]
    installed = {name: next(iter(metadata.distributions(name=name)), None) for name in PACKAGES}
    return {
        "mpcl_jax": __version__,
        "commit": code_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count() or 0,
        "devices": ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds)),
        **{name: found.version for name, found in installed.items() if found},
    }


def machine() -> str:
    """Devices, cores and version of JAX in a few words."""
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return f"{devices}, {os.cpu_count()} cores, jax {jax.__version__}"


def code_version() -> str:
    """The commit of the source tree this package runs from, or its version where it is installed."""
    here, version = pathlib.Path(__file__).resolve().parents[2], f"mpcl_jax {__version__}"
    if not (here / ".git").exists():
        return version
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty"],
            # Inside a hook of another repository Git sets GIT_DIR.
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return described.stdout.strip() or version
    except OSError:  # Git is not installed
        return version

"""What numbers came from: the revision of the code, versions of packages, the devices."""

import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any

import jax

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


def provenance() -> dict[str, Any]:
    """`revision`, `versions` and `devices`, as results hold them."""
    devices = jax.devices()
    return {
        "revision": revision(pathlib.Path(__file__).parent),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "devices": {"kind": devices[0].device_kind, "count": len(devices)},
    }


def revision(folder: pathlib.Path) -> str | None:
    """The revision of the checkout that a folder is in, `-dirty` where files differ from it.

    None outside of a checkout, or where git is missing.
    """
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()

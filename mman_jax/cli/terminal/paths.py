"""Paths as users type them."""

import os
import re

from absl import flags

from mman_jax.errors import InputError

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LONGEST = 255
"""Bytes of a name in a path, on the usual file systems of Linux."""


class PathParser(flags.ArgumentParser):
    """Parses a flag whose value is a local path."""

    syntactic_help = "a path"

    def __init__(self, name: str):
        self._name = name

    def parse(self, argument: str) -> str:
        """Returns the path; see `local_path`."""
        return local_path(argument, f"--{self._name}")

    def flag_type(self) -> str:
        """The type that `--help` shows."""
        return "path"


def local_path(text: str, place: str) -> str:
    """Expands `~` in a path.

    Args:
        text: the path, as it was typed.
        place: where it was given, for the error.

    Raises:
        InputError: a URL, or a name that no file system holds.
    """
    if _REMOTE.match(text):
        expected = "a local path; mount the bucket, or copy what it holds"
        raise InputError(f"{place}={text}", "a remote location", expected)
    expanded = os.path.expanduser(text)
    for part in expanded.split(os.sep):
        size = len(os.fsencode(part))
        if size > _LONGEST:
            expected = f"at most {_LONGEST} bytes"
            raise InputError(f"{place}={text}", f"a name of {size} bytes", expected)
    return expanded

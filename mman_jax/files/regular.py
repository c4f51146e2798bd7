"""Regular files alone: a pipe would be waited for, and a device never ends."""

import stat
from pathlib import Path

from mman_jax.errors import InputError


def check_regular(path: str | Path, expected: str) -> None:
    """Looks at a path before it is opened.

    Args:
        path: that a user named.
        expected: what should be there, for the message.

    Raises:
        InputError: nothing is there, or something else than a regular file.
    """
    path = Path(path)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "no such file" if gone else f"cannot be read ({_reason(error)})"
        raise InputError(path, reason, expected) from error
    if not stat.S_ISREG(found.st_mode):
        kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
        kind = next((name for is_kind, name in kinds if is_kind(found.st_mode)), "a device")
        raise InputError(path, kind, f"a regular file: {expected}")


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error

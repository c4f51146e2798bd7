"""Locks that give one process exclusive access to a folder or file."""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator

from mman_jax.errors import InputError

_NAME = ".lock"
_TRIES = 10
_INTERVAL = 0.1  # seconds between two attempts


@contextlib.contextmanager
def alone(
    path: str | pathlib.Path, inside: bool = True, first: bool = True, patience: float = 0.0
) -> Iterator[None]:
    """Locks a folder or file while the body runs; the lock ends with the process.

    The lock is a file, `.lock` in a folder or `.NAME.lock` next to NAME. It is removed at the end,
    as are the empty folders that were created for it.

    Args:
        path: Folder or file that the body writes.
        inside: Whether the lock is a file in the folder, instead of next to it.
        first: False for processes of a distributed run that need no lock: all but the first.
        patience: Seconds to wait for another process to end.

    Raises:
        InputError: Another process holds the lock.
    """
    path = pathlib.Path(os.path.abspath(path))
    if not path.name:
        raise InputError(path, "the root of the file system", "a folder in it")
    lock = path / _NAME if inside else path.with_name(f".{path.name[:40]}{_NAME}")
    missing = [p for p in (lock.parent, *lock.parent.parents) if not p.exists()] if first else []
    try:
        descriptor = _wait(lock, patience) if first else None
    except BlockingIOError:
        raise InputError(path, "another process is working on it", "no other process") from None
    except OSError:
        descriptor = None  # The path cannot be written either, which the body reports.
    try:
        yield
    finally:
        if descriptor is not None:
            # The file is removed while locked, so another process finds it either locked or
            # missing.
            with contextlib.suppress(OSError):
                lock.unlink()
            os.close(descriptor)
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def _wait(lock: pathlib.Path, patience: float) -> int:
    latest = time.monotonic() + patience
    while True:
        try:
            return _acquire(lock)
        except BlockingIOError:
            if time.monotonic() >= latest:
                raise
            time.sleep(_INTERVAL)


def _acquire(lock: pathlib.Path) -> int:
    """Returns the descriptor of the locked file."""
    missing: OSError = BlockingIOError()
    for _ in range(_TRIES):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = None
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous owner may have removed the file, or its folder, since it was opened.
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
            missing = BlockingIOError()
        except FileNotFoundError as error:
            missing = error  # as for a folder in which no file can be created, such as /proc
        except OSError:
            if descriptor is not None:
                os.close(descriptor)
            raise
        if descriptor is not None:
            os.close(descriptor)
    raise missing

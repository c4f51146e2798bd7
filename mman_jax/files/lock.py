"""One process at a time on a folder: a job that a scheduler starts twice must not harm itself."""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator

from mman_jax.errors import InputError

_NAME = ".lock"
_TRIES = 10
_LOOK = 0.1  # seconds between two looks at a lock


@contextlib.contextmanager
def alone(
    path: str | pathlib.Path, inside: bool = True, first: bool = True, patience: float = 0.0
) -> Iterator[None]:
    """Holds a lock on what is written, as long as the body takes; the system frees it of the dead.

    The lock is a file, `.lock` in a folder or `.NAME.lock` beside what is called NAME. It is gone
    at the end, and so are folders that were made for it and hold nothing.

    Args:
        path: the folder or the file that the body writes.
        inside: whether the lock is kept in the folder; else beside it.
        first: False for the further processes of one distributed run, which need no lock.
        patience: seconds to wait for another process to end.

    Raises:
        InputError: another process holds it.
    """
    path = pathlib.Path(os.path.abspath(path))
    if not path.name:
        raise InputError(path, "the root of all folders", "one below it")
    lock = path / _NAME if inside else path.with_name(f".{path.name[:40]}{_NAME}")
    made = [] if not first else [p for p in (lock.parent, *lock.parent.parents) if not p.exists()]
    try:
        held = _wait(lock, patience) if first else None
    except BlockingIOError:
        raise InputError(path, "another process is working on it", "to be alone") from None
    except OSError:
        held = None  # What cannot be written, or locked at all: the work itself tells why.
    try:
        yield
    finally:
        if held is not None:
            # In this order: whoever opens the file now finds it locked, or gone.
            with contextlib.suppress(OSError):
                lock.unlink()
            os.close(held)
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def _wait(lock: pathlib.Path, patience: float) -> int:
    latest = time.monotonic() + patience
    while True:
        try:
            return _take(lock)
        except BlockingIOError:
            if time.monotonic() >= latest:
                raise
            time.sleep(_LOOK)


def _take(lock: pathlib.Path) -> int:
    """The locked file's descriptor.

    Raises:
        BlockingIOError: another process holds the lock.
        OSError: there can be no lock.
    """
    for _ in range(_TRIES):
        missing = None
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = None
        try:
            file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed it, or its folder, since it was opened.
            if os.path.samestat(os.fstat(file), os.stat(lock)):
                return file
        except FileNotFoundError as error:
            missing = error
        except OSError:
            if file is not None:
                os.close(file)
            raise
        if file is not None:
            os.close(file)
    if missing:
        raise missing  # a place like /proc, where no file can be made
    raise BlockingIOError

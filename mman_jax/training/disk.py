"""What Orbax does where a disk is full: it says so in its own way, from threads of its own."""

import contextlib
import errno
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_REASONS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EROFS, errno.EACCES, errno.EPERM),
)
_LOGGERS = ("absl", "asyncio")


def reason(error: BaseException) -> str:
    """Why a disk refused, in the system's words; empty if an error is of another kind.

    TensorStore, which writes for Orbax, raises a ValueError whose text has the system's in it.

    Args:
        error: what was raised; its causes and the parts of a group are looked at, too.
    """
    found, seen = [error], set()
    while found:
        one = found.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError):
            return str(one)
        said = [os.strerror(number) for number in _REASONS if os.strerror(number) in str(one)]
        if said:
            return said[0]
        found += [e for e in (one.__cause__, one.__context__) if e is not None]
        found += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return ""


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps threads from printing their tracebacks: what they fail with is raised, too."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    hooks = sys.unraisablehook, threading.excepthook
    if not isinstance(sys.unraisablehook, _WithoutLateWrites):
        sys.unraisablehook = _WithoutLateWrites(sys.unraisablehook)
    threading.excepthook = lambda _: None
    logging.getLogger("asyncio").addFilter(_is_told_nowhere_else)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
        # After a failure it stays: more writes may still be under way.
        sys.unraisablehook = hooks[0]
        logging.getLogger("asyncio").removeFilter(_is_told_nowhere_else)
    finally:
        threading.excepthook = hooks[1]
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_told_nowhere_else(record: logging.LogRecord) -> bool:
    """Drops what asyncio logs, when its task is collected, of writes that Orbax did not await: of
    those that the disk refused, the first one was raised."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, Exception) and reason(error))


class _WithoutLateWrites:
    """Prints what can be raised nowhere, but writes that fail after their event loop has ended.

    They come from TensorStore's own threads, some of them after the exception that matters.
    """

    def __init__(self, others: Callable[[Any], None]):
        self._others = others

    def __call__(self, unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            self._others(unraisable)

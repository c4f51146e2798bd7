"""Checks of single cases in a separate process: outcome, time and memory."""

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from mman_jax.errors import InputError
from tests.data.readers.public_folders import lay
from tests.robustness.mutations import Files

Opener = Callable[[pathlib.Path], Any]

SUCCESS, REFUSAL, FAILURE = "success", "refusal", "failure"

MEMORY = 2 << 30
"""Limit of resident memory, in bytes, including that of the process itself."""

_LONGEST_MESSAGE = 2000
_FIRST = 6  # the first case of a process may compute this many times longer
_PATIENCE = 60.0  # seconds on the clock, in case the alarm is never delivered
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.mkdir", "os.remove",
    "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "os.putenv", "shutil.", "socket.connect", "socket.bind", "subprocess.Popen",
    "pickle.find_class", "ctypes.dlopen", "webbrowser.open", "tempfile.",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a case ended.

    Attributes:
        outcome: SUCCESS, REFUSAL (an `InputError` that names the place) or FAILURE.
        detail: the refusal's message, or what failed.
        seconds: time on the clock.
        memory: largest resident size of the process, in bytes.
        printed: start of the output on standard error.
    """

    outcome: str
    detail: str
    seconds: float
    memory: int
    printed: str = ""


class Alarm(BaseException):
    """A case took too long; not an Exception, so that no reader catches it."""


class Guard:
    """Runs cases in a worker process, and starts another one if a case ended it.

    Args:
        opener: a module's function that reads a path.
        entry: that path in a case's folder; empty: the folder itself.
        seconds: limit of computation for a case.
        memory: limit of resident memory, in bytes.
    """

    def __init__(self, opener: Opener, entry: str, seconds: float, memory: int = MEMORY):
        self._settings = (opener, entry, seconds, memory)
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def check(self, files: Files) -> Verdict:
        """Runs one case."""
        if self._process is None:
            self._start()
        began = time.monotonic()
        try:
            self._pipe.send(files)
            if self._pipe.poll(_PATIENCE):
                return self._pipe.recv()
            detail = f"a hang: no answer in {_PATIENCE:g} s"
        except (EOFError, OSError):
            self._process.join(5)
            detail = f"a crash: the process ended with status {self._process.exitcode}"
        self._stop()
        return Verdict(FAILURE, detail, time.monotonic() - began, 0)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._settings), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # its imports have finished

    def _stop(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
            self._process = None


def _work(pipe: Any, opener: Opener, entry: str, seconds: float, memory: int) -> None:
    sys.dont_write_bytecode = True  # a late import must not look like a file that a case wrote
    logging.set_verbosity(logging.ERROR)  # as in commands
    events: list[str] = []
    sys.addaudithook(lambda event, args: _note(events, event, args))
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch,
    ):
        os.dup2(output.fileno(), sys.stderr.fileno())
        os.chdir(scratch)
        os.environ["HOME"] = tempfile.tempdir = scratch
        place = pathlib.Path(scratch, "case")
        first = True
        pipe.send(None)
        while True:
            try:
                files = pipe.recv()
            except EOFError:
                return
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            lay(place, files)
            if first:  # libraries start threads and import modules at their first call
                attempt(opener, place / entry, _FIRST * seconds, memory)
                _limit_memory(memory)
                first = False
            before = _content(pathlib.Path(scratch))
            _reset_peak()
            events.clear()
            verdict = attempt(opener, place / entry, seconds, memory)
            problem = f"did {events[:3]}" if events else ""
            if not events and _content(pathlib.Path(scratch)) != before:
                problem = "changed files"
            if problem and verdict.outcome != FAILURE:
                verdict = dataclasses.replace(verdict, outcome=FAILURE, detail=problem)
            sys.stderr.flush()
            printed = os.pread(output.fileno(), 300, 0).decode(errors="replace")
            os.ftruncate(output.fileno(), 0)
            os.lseek(output.fileno(), 0, os.SEEK_SET)
            pipe.send(dataclasses.replace(verdict, printed=printed))


def attempt(opener: Opener, path: pathlib.Path, seconds: float, memory: int) -> Verdict:
    """Opens one case in this process, with an alarm after `seconds` of computation."""
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with _alarm(seconds):
                opener(path)
            outcome, detail = SUCCESS, ""
        except InputError as error:
            outcome, detail = _judge(error, path)
        except Alarm:
            outcome, detail = FAILURE, f"a hang: over {seconds:g} s of computation"
        except BaseException as error:  # any other exception is a failure
            outcome, detail = FAILURE, f"{type(error).__name__}: {error!s:.300}"
    took, peak = time.monotonic() - began, _peak()
    if peak > memory:
        outcome, detail = FAILURE, f"{peak >> 20} MiB of memory"
    elif warned and outcome != FAILURE:
        outcome, detail = FAILURE, f"a warning: {warned[0].message!s:.200}"
    return Verdict(outcome, detail, took, peak)


def _judge(error: InputError, path: pathlib.Path) -> tuple[str, str]:
    message = str(error)
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, MemoryError) or "MemoryError" in str(below):
            return FAILURE, f"asked for more memory than there is: {message:.300}"
        below = below.__cause__ or below.__context__
    if str(path) not in message:
        return FAILURE, f"the message does not name {path}: {message:.300}"
    if not message.isprintable() or len(message) > _LONGEST_MESSAGE:
        return FAILURE, f"not one printable line of at most {_LONGEST_MESSAGE}: {message!r:.300}"
    return REFUSAL, message


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Alarm

    # Time of computation, not of the clock, so that other processes do not matter.
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _note(events: list[str], event: str, args: tuple) -> None:
    if event == "open" and isinstance(args[0], str | bytes):
        if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            events.append(f"open {args[0]!r:.100} to write")
    elif event.startswith(_FORBIDDEN):
        events.append(f"{event} {args!r:.100}")


def _limit_memory(memory: int) -> None:
    # Memory that is requested but never touched is not part of the resident size.
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _content(place: pathlib.Path) -> dict[str, str]:
    return {
        str(p): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
        for p in sorted(place.rglob("*"))
    }

"""The check of one case, in a process of its own: how it ended, how long, how much memory."""

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
from tests.robustness.mutations import Files

SUCCESS, REFUSAL, FAILURE = "success", "refusal", "failure"

MEMORY = 2 << 30
"""Bytes that a case may hold at most, the process's own included."""

_LONGEST_MESSAGE = 2000
_FIRST = 6  # times the computation that a process's first case may take, before it is judged
_PATIENCE = 60.0  # seconds on the clock, where even the alarm is not heard
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
        seconds: on the clock.
        memory: the process's largest resident size while it ran, in bytes.
        printed: the start of what went to standard error meanwhile.
    """

    outcome: str
    detail: str
    seconds: float
    memory: int
    printed: str = ""


class Alarm(BaseException):
    """A case took too long; no reader catches it, as it is no Exception."""


class Guard:
    """Runs cases in one worker process, and starts another where a case took that one down."""

    def __init__(
        self,
        opener: Callable[[pathlib.Path], Any],
        entry: str,
        seconds: float,
        memory: int = MEMORY,
    ):
        """Starts nothing yet.

        Args:
            opener: a module's function that reads what lies at a path.
            entry: that path in a case's folder; empty: the folder itself.
            seconds: of computation that a case may take.
            memory: bytes that the process may hold meanwhile.
        """
        self._settings = (opener, entry, seconds, memory)
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def check(self, files: Files) -> Verdict:
        """How one case ends."""
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
        self._pipe.recv()  # it has imported what it needs

    def _stop(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
            self._process = None


def _work(
    pipe: Any, opener: Callable[[pathlib.Path], Any], entry: str, seconds: float, memory: int
) -> None:
    sys.dont_write_bytecode = True  # what is imported late is no file that a case wrote
    logging.set_verbosity(logging.ERROR)  # as commands do
    events: list[str] = []
    sys.addaudithook(lambda event, args: _note(events, event, args))
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch,
    ):
        os.dup2(said.fileno(), sys.stderr.fileno())
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
            lay(files, place)
            if first:  # libraries start threads and import modules at their first call
                attempt(opener, place / entry, _FIRST * seconds, memory)
                _limit_memory(memory)
                first = False
            before = _content(pathlib.Path(scratch))
            _reset_peak()
            events.clear()
            verdict = attempt(opener, place / entry, seconds, memory)
            found = ""
            if events:
                found = f"did {events[:3]}"
            elif _content(pathlib.Path(scratch)) != before:
                found = "changed files"
            if found and verdict.outcome != FAILURE:
                verdict = dataclasses.replace(verdict, outcome=FAILURE, detail=found)
            sys.stderr.flush()
            printed = os.pread(said.fileno(), 300, 0).decode(errors="replace")
            os.ftruncate(said.fileno(), 0)
            os.lseek(said.fileno(), 0, os.SEEK_SET)
            pipe.send(dataclasses.replace(verdict, printed=printed))


def attempt(
    opener: Callable[[pathlib.Path], Any], path: pathlib.Path, seconds: float, memory: int
) -> Verdict:
    """Opens one case in this process, with an alarm after so much computation."""
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
        except BaseException as error:  # whatever it is, it is what is looked for
            outcome, detail = FAILURE, f"{type(error).__name__}: {error!s:.300}"
    took, peak = time.monotonic() - began, _peak()
    if peak > memory:
        outcome, detail = FAILURE, f"{peak >> 20} MiB of memory"
    elif warned and outcome != FAILURE:
        outcome, detail = FAILURE, f"a warning beside the message: {warned[0].message!s:.200}"
    return Verdict(outcome, detail, took, peak)


def lay(files: Files, place: pathlib.Path) -> None:
    """Writes a case's files into a folder."""
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


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

    # Computation, not the clock: another process's load is no fault of the case.
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
    # Memory that is asked for and never touched shows in no resident size.
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

"""Progress of a trial, and requests to stop it."""

import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

from mman_jax.tasks.score import Score
from mman_jax.training.state import Snapshot

PREEMPTED = 75
"""Exit status after SIGTERM, once the work is saved: the same command resumes it."""

_STATUS = {"SIGTERM": PREEMPTED, "Ctrl-C": 128 + signal.SIGINT}


class Progress:
    """Receives the reports of a trial or a study, and shows nothing.

    Subclasses show the reports on a terminal or in a log, or send them to another process. Every
    method may be overridden.

    Attributes:
        every: seconds between two reports of unfinished work.
    """

    every = 5.0

    def line(self, text: str) -> None:
        """Reports a line of text."""

    def notice(self, text: str) -> None:
        """Reports an important message."""

    def epoch(self, task: str, snapshot: Snapshot, epochs: int, score: Score) -> None:
        """Reports the end of an epoch.

        Args:
            epochs: largest number of epochs of the stage.
            score: the score of the validation part to show.
        """

    def items(self, total: int, name: str) -> None:
        """Begins to count items; `advance` counts one."""

    def advance(self) -> None:
        """Counts one item."""

    def network(self, name: str, epoch: int, loss: float) -> None:
        """Reports an epoch of an auxiliary network, such as a text encoder of `extract`."""

    def table(self, results: dict[str, Any]) -> None:
        """Reports the scores of a trial, which are the content of `results.json`."""

    def listing(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Reports a table of text."""


class Preemption:
    """A signal's request to end this process; training checks it after each epoch.

    Attributes:
        asked: the signal, `SIGTERM` or `Ctrl-C`; empty if there is none.
        waiting: whether nothing needs to be saved, so a request ends the process at once.
    """

    asked = ""
    waiting = False

    @classmethod
    def listen(cls, interrupts: bool = False) -> None:
        """Handles SIGTERM as a request to stop, instead of ending the process immediately.

        Args:
            interrupts: whether the first Ctrl-C is also a request; the second ends the process.
        """

        def ask(number: int, _: FrameType | None) -> None:
            cls.asked = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if cls.waiting:
                cls.check()

        signal.signal(signal.SIGTERM, ask)
        if interrupts:
            signal.signal(signal.SIGINT, ask)

    @classmethod
    @contextlib.contextmanager
    def at_once(cls) -> Iterator[None]:
        """Ends the process at once on a request, even an earlier one: nothing needs to be saved."""
        cls.waiting = True
        try:
            cls.check()
            yield
        finally:
            cls.waiting = False

    @classmethod
    def check(cls) -> None:
        """Ends the process with status `PREEMPTED`, or 130 after Ctrl-C, if it was asked to end."""
        if cls.asked:
            print(f"stopped by {cls.asked}; the same command resumes from here", file=sys.stderr)
            sys.exit(_STATUS[cls.asked])

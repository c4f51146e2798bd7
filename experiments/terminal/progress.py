"""What an extraction shows while it works."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Screen:
    """A bar on a terminal; in a log, a line every few seconds."""

    def __init__(self, total: int, every: float = 5.0):
        self.console = Console(highlight=False, soft_wrap=True)
        self._total, self._done, self._every, self._printed = total, 0, every, time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24))
        columns += (MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("utterances", total=total)

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One utterance more."""
        self._done += 1
        self._bar.advance(self._task)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._printed >= self._every:
            self.line(f"{self._done} of {self._total} utterances")
            self._printed = now

    def epoch(self, modality: str, epoch: int, loss: float) -> None:
        """An epoch of a feature network."""
        if time.monotonic() - self._printed >= self._every:
            self.line(f"{modality} network: epoch {epoch}, loss {loss:.3g}")
            self._printed = time.monotonic()

    def line(self, message: str) -> None:
        """A line of its own."""
        self.console.print(message, markup=False)

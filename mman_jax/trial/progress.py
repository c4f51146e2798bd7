"""Progress of a trial, reported to whoever asks for it."""

from collections.abc import Iterable, Sequence
from typing import Any

from mman_jax.training.outcome import Snapshot


class Progress:
    """Receives what a trial or a study reports, and shows nothing.

    Subclasses show it: on a terminal, in a log, to another process. Every method may be overridden.

    Attributes:
        every: seconds between two reports of work that has not ended.
    """

    every = 5.0

    def line(self, text: str) -> None:
        """Reports a line of text."""

    def notice(self, text: str) -> None:
        """Reports something that must not be missed."""

    def epoch(self, task: str, snapshot: Snapshot, epochs: int, numbers: bool = False) -> None:
        """Reports the end of an epoch.

        Args:
            task: name of the task that is trained.
            snapshot: after the epoch.
            epochs: of the stage, at most.
            numbers: whether numbers are predicted instead of classes.
        """

    def items(self, total: int, name: str) -> None:
        """Begins to count items; `advance` counts one."""

    def advance(self) -> None:
        """Counts one item."""

    def network(self, name: str, epoch: int, loss: float) -> None:
        """Reports an epoch of an auxiliary network, such as a text encoder of `extract`."""

    def table(self, results: dict[str, Any]) -> None:
        """Reports the scores of a trial, as `results.json` holds them."""

    def listing(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Reports a table of text."""

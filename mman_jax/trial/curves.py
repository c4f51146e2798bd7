"""Learning curves of a running trial: a CSV file, and the requested boards.

They are computed from a snapshot's full history, so interruptions leave no gaps.
"""

import csv
import io
import itertools
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.files.whole import write_whole
from mman_jax.training.state import Record, Snapshot
from mman_jax.trial.boards import Board

_EVERY = 5.0  # seconds between two writes of the file
_SHOWN = ("train_loss", "valid_loss", "valid_accuracy")


class Row(NamedTuple):
    """A line of the file: the values of one head of one seed after an epoch of its training.

    The epoch with the highest `score` is selected. There is no test score, because people look at
    curves while they choose settings.
    """

    stage: str
    head: str
    seed: int
    epoch: int
    train_loss: np.float32
    valid_loss: np.float32
    valid_accuracy: np.float32
    score: np.float32


class Log:
    """The curves of one task's training."""

    def __init__(
        self,
        path: pathlib.Path,
        heads: Mapping[str, Sequence[str]],
        seeds: Sequence[int],
        boards: Mapping[int, Sequence[Board]] | None = None,
        score: str = "accuracy",
    ):
        """Writes nothing yet.

        Args:
            path: path of the CSV file.
            heads: T names by stage.
            boards: boards of each seed, which also show its curves; closed at the end.
        """
        self._names = {"valid_accuracy": f"valid_{score}"}
        self._path, self._heads, self._seeds = path, heads, seeds
        self._written = 0.0
        self._shown = dict.fromkeys(heads, 0)
        self._boards = boards or {}

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_) -> None:
        for board in itertools.chain(*self._boards.values()):
            board.close()

    def note(self, snapshot: Snapshot, last: bool) -> None:
        """Adds the last epoch; writes the file every few seconds, and after the `last` epoch."""
        histories = {name: outcome.history for name, outcome in snapshot.finished.items()}
        histories.setdefault(snapshot.stage, snapshot.history)
        if self._boards:
            self._show(histories)
        now = time.monotonic()
        if last or now - self._written >= _EVERY:
            self._written = now
            rows = (row for stage in histories for row in self._rows(stage, histories[stage]))
            write_whole(self._path, _csv(rows, self._names))

    def _show(self, histories: Mapping[str, Record]) -> None:
        for stage, history in histories.items():
            for row in self._rows(stage, history, self._shown[stage]):
                values = {
                    f"{self._names.get(name, name)}/{row.head}": float(getattr(row, name))
                    for name in _SHOWN
                }
                for board in self._boards[row.seed]:
                    board.add(values, row.epoch)
            self._shown[stage] = len(history.train_loss)

    def _rows(self, stage: str, history: Record, done: int = 0) -> Iterator[Row]:
        values = [np.asarray(getattr(history, name), np.float32) for name in (*_SHOWN, "score")]
        for epoch, seed, head in np.argwhere(history.training):
            if epoch >= done:
                place = (self._heads[stage][head], self._seeds[seed], int(epoch) + 1)
                yield Row(stage, *place, *(x[epoch, seed, head] for x in values))


def _csv(rows: Iterator[Row], names: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([names.get(field, field) for field in Row._fields])
    writer.writerows(rows)
    return text.getvalue().encode()

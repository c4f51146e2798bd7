"""Conversations on the disk, where a service keeps them over a restart."""

import pathlib
import sys
import threading
import time

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import states
from mman_jax.inference.batched import Batched
from mman_jax.inference.places import Places

_RETRY = 1.0  # seconds, at least, after a save that failed


class Saving:
    """Says when to save, and saves; without a path there is nothing to do.

    Attributes:
        unsaved: whether anything changed since the last save.
    """

    def __init__(
        self,
        path: pathlib.Path | None,
        every: float,
        batched: Batched,
        places: Places,
        counts: np.ndarray,
    ):
        """Reads what is kept, if it is there, and saves.

        Args:
            path: where conversations are read from and saved.
            every: seconds between two saves; 0: an answer is sent after it was saved.
            batched: their states, which are read into it.
            places: theirs, which are taken.
            counts: [places] int64, their utterances.

        Raises:
            InputError: a file that cannot be used, or a place that cannot be written.
        """
        self._path, self._every = path, every
        self._batched, self._places, self._counts = batched, places, counts
        self._owner = states.identity(batched.answerer.models) if path else ""
        self.unsaved, self._failing, self._saved = False, "", time.monotonic()
        if path and regular_file(path):
            self._read(path)
        self.save()

    def pause(self) -> float | None:
        """Seconds to the next save; None where there is none to come."""
        if not self._path or not self.unsaved:
            return None
        pause = max(self._every, _RETRY) if self._failing else self._every
        return min(max(0.0, self._saved + pause - time.monotonic()), threading.TIMEOUT_MAX)

    def keeps(self, answered: bool) -> bool:
        """Saves, if it is time to; whether what was answered may be sent.

        Args:
            answered: whether somebody waits for answers.
        """
        at_once = answered and self.unsaved and not self._every
        if self.pause() != 0 and not (self._path and at_once):
            return True
        try:
            self.save()
        except InputError as error:  # such as a full disk: tried again later
            if self._failing != str(error):
                print("error:", error, file=sys.stderr)
            self._failing = str(error)
            return not at_once
        if self._failing:
            print("saved again", file=sys.stderr)
        self._failing = ""
        return True

    def save(self) -> None:
        """Saves.

        Raises:
            InputError: it cannot be written.
        """
        self._saved = time.monotonic()
        if self._path:
            taken = self._places.taken()
            of = {
                name: (state, self._counts[taken[name]])
                for name, state in self._batched.read(taken).items()
            }
            write_whole(self._path, states.to_bytes(of, self._owner, self._places.gone()))
        self.unsaved = False

    def _read(self, path: pathlib.Path) -> None:
        begin = self._batched.answerer.begin(), np.int64(0)
        found = states.read(path, begin, self._owner)
        names = list(found.states)  # the last are those that spoke last
        self._places.remember(found.gone + names[: -self._places.count])
        for name in names[-self._places.count :]:
            state, count = found.states[name]
            index = self._places.take(name, time.monotonic()).index
            self._batched.write(index, state)
            self._counts[index] = count

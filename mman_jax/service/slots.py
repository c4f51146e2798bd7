"""Slots of conversations: their assignment, states and file."""

import pathlib
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.files.whole import regular_file
from mman_jax.inference.answerer import Answer, Answerer, read_states, write_states

SIZES = (1, 4, 8, 16, 32, 64, 128, 256)
"""Possible numbers of utterances of a step. An utterance costs a third less in a step of 256 than
in one of 64; larger steps would add latency for little more throughput."""

_MANY, _FULL = 64, 0.8
"""From `_MANY` on, a larger step saves little for each utterance; it is used only if utterances
fill at least the share `_FULL` of it."""

_REMEMBERED = 16
"""Number of names of discarded conversations that are remembered for each slot."""

_RETRY = 1.0  # seconds, at least, after a save that failed


class Slot(NamedTuple):
    """The slot of a conversation."""

    number: int  # from 0
    begins: bool  # whether the conversation is new in it
    forgotten: bool  # whether the conversation was discarded earlier to make room


class SlotTable:
    """The slots of conversations, by name.

    If all slots are taken, the conversation that was idle for longest is discarded, provided that
    this is longer than `idle_seconds`. The names of the latest discarded conversations, `gone`,
    are remembered in order, so that their clients can be notified.
    """

    def __init__(self, count: int, idle_seconds: float):
        """Starts with `count` free slots."""
        self.count, self.idle_seconds = count, idle_seconds
        self.gone: OrderedDict[str, None] = OrderedDict()
        self._free = list(range(count))[::-1]
        self._taken: OrderedDict[str, tuple[int, float]] = OrderedDict()  # longest idle first

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, name: str, now: float) -> Slot | None:
        """Returns the slot of a conversation, assigned if needed; None if no slot can be freed.

        `now` is a time in seconds, which never decreases; conversations used at `now` are not
        discarded.
        """
        if name in self._taken:
            number = self._taken[name][0]
            self._taken[name] = number, now
            self._taken.move_to_end(name)
            return Slot(number, False, False)
        if not self._free:
            oldest, (_, since) = next(iter(self._taken.items()))
            if now - since <= self.idle_seconds:
                return None
            self.release(oldest)
            self.remember([oldest])
        forgotten = name in self.gone
        self.gone.pop(name, None)
        number = self._free.pop()
        self._taken[name] = number, now
        return Slot(number, True, forgotten)

    def release(self, name: str) -> bool:
        """Frees a conversation's slot; returns whether it had one."""
        self.gone.pop(name, None)
        if name not in self._taken:
            return False
        self._free.append(self._taken.pop(name)[0])
        return True

    def remember(self, names: Iterable[str]) -> None:
        """Adds discarded conversations to `gone`."""
        for name in names:
            self.gone[name] = None
            if len(self.gone) > _REMEMBERED * self.count:
                self.gone.popitem(last=False)

    def find(self, name: str) -> int | None:
        """Returns the number of a conversation's slot, without marking it as used."""
        return self._taken[name][0] if name in self._taken else None

    def taken(self) -> dict[str, int]:
        """Returns the number of each conversation's slot, the longest idle first."""
        return {name: number for name, (number, _) in self._taken.items()}


class SlotStates:
    """The states of the conversations in slots, which are updated in batches.

    They are arrays [slots, ...] in the host's memory, which the operating system allocates when a
    slot is first used. A step is compiled once for each of `sizes`, its possible numbers of
    utterances in ascending order, to which steps are padded. `counts` [slots] int64 are the numbers
    of the conversations' utterances.
    """

    def __init__(self, answerer: Answerer, slots: int, sizes: Sequence[int] = SIZES):
        """Allocates the states; compiles nothing yet."""
        self.answerer, self.sizes, self.begin = answerer, sizes, (answerer.begin(), np.int64(0))
        leaves, self._structure = jax.tree.flatten(self.begin)
        self._leaves = [np.zeros((slots, *leaf.shape), leaf.dtype) for leaf in leaves]
        self.counts = self._leaves[-1]

    def compile(self) -> None:
        """Compiles the steps of all sizes, without changing a state."""
        for size in self.sizes:
            states, _ = self._gather(np.zeros(size, np.int64), 0)
            self.answerer.step_all(states, [{}] * size)

    def step_size(self, waiting: int) -> int:
        """Returns how many of the waiting utterances go into the next step.

        From `_MANY` on, some wait for the next step if all would fill too little of a larger one.
        """
        most = min(waiting, self.sizes[-1])
        below = max((size for size in self.sizes if size <= most), default=0)
        above = next(size for size in self.sizes if size >= most)
        return below if below >= _MANY and most < _FULL * above else most

    def step(
        self,
        slots: Sequence[int],
        begins: Sequence[bool],
        features: Sequence[Mapping[str, np.ndarray]],
        speakers: Sequence[str] = (),
        interim: Sequence[bool] = (),
    ) -> list[Answer]:
        """Answers one utterance of each of B conversations, and updates their states.

        Args:
            slots: numbers of the conversations' slots, all different, at most the largest size.
            begins: whether it is the first utterance of its conversation.
            features: [D] float32 of the modalities that are present, not scaled.
            speakers: names of their speakers; in a conversation, all utterances with an empty name
                have the same speaker, as do all if there are no names.
            interim: whether the answer leaves the state of its conversation as it is; default: no.
        """
        numbers = np.array(slots, np.int64)
        for leaf in self._leaves:
            leaf[numbers[np.array(begins, bool)]] = 0
        padding = next(size for size in self.sizes if size >= len(numbers)) - len(numbers)
        padded = np.concatenate([numbers, np.repeat(numbers[:1], padding)])
        states, counts = self._gather(padded, len(numbers))
        names = [*(speakers or [""] * len(numbers)), *[""] * padding]
        after, answers = self.answerer.step_all(states, [*features, *[{}] * padding], names)
        final = np.flatnonzero(~np.array(interim, bool)) if any(interim) else slice(len(numbers))
        for leaf, new in zip(self._leaves, jax.tree.leaves((after, counts + 1)), strict=True):
            leaf[numbers[final]] = new[final]
        return answers[: len(numbers)]

    def read(self, slots: Sequence[int]) -> Any:
        """Returns copies of the states in N slots, in the form of `begin`, leaves [N, ...]."""
        return jax.tree.unflatten(self._structure, [leaf[list(slots)] for leaf in self._leaves])

    def write(self, slots: Sequence[int], states: Any) -> None:
        """Puts states in the form of `begin`, leaves [N, ...], into N slots."""
        for leaf, values in zip(self._leaves, jax.tree.leaves(states), strict=True):
            leaf[list(slots)] = values

    def _gather(self, slots: np.ndarray, real: int) -> tuple[Any, np.ndarray]:
        rows = [leaf[slots] for leaf in self._leaves]
        for row in rows:
            row[real:] = 0
        return jax.tree.unflatten(self._structure, rows)


class SlotFile:
    """The file of the conversations in slots, and its schedule; without a path, nothing is saved.

    Attributes:
        unsaved: whether anything changed since the last save.
    """

    def __init__(
        self, path: pathlib.Path | None, every: float, states: SlotStates, table: SlotTable
    ):
        """Reads the file at `path` if it exists, into states and slots, and saves.

        `every` are the seconds between two saves; 0: saves before each answer is sent.
        """
        self._path, self._every, self._states, self._table = path, every, states, table
        self.unsaved, self._failing, self._saved = False, "", time.monotonic()
        if path and regular_file(path):
            names, saved, gone = read_states(path, states.begin, states.answerer.identity)
            first = max(0, len(names) - table.count)  # they are in the order of their last use
            table.remember(gone + names[:first])
            slots = [table.take(name, time.monotonic()) for name in names[first:]]
            numbers = [slot.number for slot in slots if slot]  # all: there are enough slots
            states.write(numbers, jax.tree.map(lambda x: x[first:], saved))
        self.save()

    def pause(self) -> float | None:
        """Returns the seconds until the next save; None if there is nothing to save."""
        if not self._path or not self.unsaved:
            return None
        pause = max(self._every, _RETRY) if self._failing else self._every
        return min(max(0.0, self._saved + pause - time.monotonic()), threading.TIMEOUT_MAX)

    def save_if_due(self, answered: bool) -> bool:
        """Saves if a save is due; returns whether answers, if there are any, may be sent."""
        before_sending = answered and self.unsaved and not self._every
        if self.pause() != 0 and not (self._path and before_sending):
            return True
        try:
            self.save()
        except InputError as error:  # such as a full disk: tried again later
            if self._failing != str(error):
                print("error:", error, file=sys.stderr)
            self._failing = str(error)
            return not before_sending
        if self._failing:
            print("saved again", file=sys.stderr)
        self._failing = ""
        return True

    def save(self) -> None:
        """Saves the conversations, or raises an InputError."""
        self._saved = time.monotonic()
        if self._path:
            taken, owner = self._table.taken(), self._states.answerer.identity
            states = self._states.read(list(taken.values()))
            write_states(self._path, list(taken), states, owner, list(self._table.gone))
        self.unsaved = False

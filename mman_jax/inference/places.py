"""Which conversation has which of a bounded number of places, and who makes room for a new one."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

_REMEMBERED = 16
"""Names of conversations that made room, for each place."""


class Place(NamedTuple):
    """Where a conversation's state lies.

    Attributes:
        index: of the place.
        begins: whether the conversation begins there: nothing is known of it.
        forgotten: whether it was known, and had to make room since.
    """

    index: int
    begins: bool
    forgotten: bool


class Places:
    """Conversations by name, each in a place.

    Where all places are taken, the conversation that was idle longest goes, if that is longer than
    `idle_seconds`. The names of those that went are remembered, the latest of them, so that they
    can be told.
    """

    def __init__(self, count: int, idle_seconds: float):
        """All are free.

        Args:
            count: of places.
            idle_seconds: how long a conversation that makes room has been idle at least.
        """
        self.count, self.idle_seconds = count, idle_seconds
        self._free = list(range(count))[::-1]
        self._taken: OrderedDict[str, tuple[int, float]] = OrderedDict()  # the longest idle first
        self._gone: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, name: str, now: float) -> Place | None:
        """The place of a conversation, from now on its own; None where nobody can make room.

        Args:
            name: of the conversation.
            now: seconds; never less than before. Who is asked for at one moment, keeps its place
                in it.
        """
        if name in self._taken:
            index = self._taken[name][0]
            self._taken[name] = index, now
            self._taken.move_to_end(name)
            return Place(index, False, False)
        if not self._free:
            oldest, (index, since) = next(iter(self._taken.items()))
            if now - since <= self.idle_seconds:
                return None
            self.release(oldest)
            self.remember([oldest])
        forgotten = name in self._gone
        self._gone.pop(name, None)
        self._taken[name] = self._free.pop(), now
        return Place(self._taken[name][0], True, forgotten)

    def release(self, name: str) -> bool:
        """Frees a conversation's place; whether it had one."""
        self._gone.pop(name, None)
        index, _ = self._taken.pop(name, (None, None))
        if index is not None:
            self._free.append(index)
        return index is not None

    def had_to_go(self, name: str) -> bool:
        """Whether a conversation was known, made room, and did not come again."""
        return name in self._gone

    def gone(self) -> list[str]:
        """The conversations that had to go, the first of them first."""
        return list(self._gone)

    def remember(self, names: Iterable[str]) -> None:
        """Conversations that had to go, as `gone` told."""
        for name in names:
            self._gone[name] = None
            if len(self._gone) > _REMEMBERED * self.count:
                self._gone.popitem(last=False)

    def find(self, name: str) -> int | None:
        """The place that a conversation has, which does not count as its use."""
        return self._taken[name][0] if name in self._taken else None

    def taken(self) -> dict[str, int]:
        """The place of each conversation by its name, the longest idle first."""
        return {name: index for name, (index, _) in self._taken.items()}

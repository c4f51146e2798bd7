"""Queue of utterances, predicted in batches by one thread, and its metrics."""

import asyncio
import bisect
import collections
import math
import pathlib
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mman_jax.inference.lines import fields
from mman_jax.service.slots import Slot, SlotFile, SlotStates, SlotTable

Reply = tuple[int, dict[str, Any]]
"""An HTTP status, and the body."""

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_UTTERANCES = (1, 2, 4, 8, 16, 32, 64)
_LATEST = 0.3  # share of the latest step in the estimated duration of the next one
_TICK = 0.02  # seconds between two measurements of the event loop's delay


class Histogram:
    """Counts of values by their size."""

    def __init__(self, bounds: Sequence[float]):
        """Starts without values; `bounds` are the largest values of the buckets, ascending."""
        self._bounds, self._total = bounds, 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        """Counts one value."""
        self._total += value
        self._counts[bisect.bisect_left(self._bounds, value)] += 1

    def lines(self, name: str) -> Iterable[str]:
        """Yields the lines of this histogram in Prometheus' text format."""
        yield f"# TYPE {name} histogram"
        bounds, below = [*(f"{bound:g}" for bound in self._bounds), "+Inf"], 0
        for bound, count in zip(bounds, self._counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self._total!r}"
        yield f"{name}_count {below}"


class Metrics:
    """Counts since the service began."""

    def __init__(self) -> None:
        self.statuses: collections.Counter[int] = collections.Counter()
        """Answers to requests for an utterance's emotion, by HTTP status."""
        self.forgotten = 0
        """Discarded conversations that received another utterance."""
        self.seconds = Histogram(_SECONDS)
        """Seconds from the reading of an utterance to its answer."""
        self.steps = Histogram(_UTTERANCES)
        """Number of utterances of each step."""

    def text(self, gauges: Mapping[str, int]) -> str:
        """Returns Prometheus' text format, with the current values of gauges by name."""
        lines = ["# TYPE mman_utterances_total counter"]
        lines += [
            f'mman_utterances_total{{status="{status}"}} {count}'
            for status, count in sorted(self.statuses.items())
        ]
        lines += ["# TYPE mman_forgotten_total counter", f"mman_forgotten_total {self.forgotten}"]
        for name, value in gauges.items():
            lines += [f"# TYPE mman_{name} gauge", f"mman_{name} {value}"]
        lines += self.seconds.lines("mman_answer_seconds")
        lines += self.steps.lines("mman_step_utterances")
        return "\n".join(lines) + "\n"


class Pace:
    """The estimated waiting time of an utterance.

    Attributes:
        delay: delay of the event loop in seconds; bodies wait for this long before they are read.
    """

    def __init__(self, largest: int):
        """Starts without a measured step; `largest` is the number of utterances of a full step."""
        self.delay, self._largest, self._seconds = 0.0, largest, 0.0

    def add(self, seconds: float) -> None:
        """Adds the duration of a step; the latest steps count most."""
        self._seconds += _LATEST * (seconds - self._seconds) if self._seconds else seconds

    def wait(self, waiting: int, stepping: bool) -> float:
        """Returns seconds until the step of an utterance that comes after `waiting` others.

        `stepping` says whether a step is being computed. Assumes that the waiting utterances
        belong to different conversations.
        """
        return self.delay + (waiting // self._largest + stepping) * self._seconds


class Job(NamedTuple):
    """An utterance to answer, or (without features) a conversation to forget."""

    conversation: str
    features: dict[str, np.ndarray] | None  # [D] float32 of the modalities that are present
    number: int | None  # of the utterance in its conversation, from 1; None if it is not counted
    speaker: str  # empty if the conversation has one speaker
    interim: bool  # whether the answer leaves the conversation's state unchanged
    done: asyncio.Future[Reply]


class Batcher:
    """Answers jobs in the order of their arrival; a step has at most one of each conversation.

    From `start` to `stop`, only its thread uses states and slots.
    """

    def __init__(
        self,
        states: SlotStates,
        table: SlotTable,
        most_waiting: int,
        path: pathlib.Path | None = None,
        every: float = 10.0,
        longest_wait: float = float("inf"),
    ):
        """Reads the saved conversations, if there are any, and compiles.

        Args:
            states: states with as many slots as `table`.
            table: slots of conversations, all free.
            most_waiting: number of jobs that may wait; any more are refused.
            path: path of the file of conversations; None if they are not saved.
            every: seconds between two saves; 0: saves before each answer is sent.
            longest_wait: seconds; jobs that would wait for longer are refused, see `Pace`.
        """
        self.metrics, self.table, self.answerer = Metrics(), table, states.answerer
        self._states, self._most_waiting = states, most_waiting
        self.pace, self._longest_wait = Pace(states.sizes[-1]), longest_wait
        self._stepping = False
        self._file = SlotFile(path, every, states, table)
        self._waiting: collections.deque[Job] = collections.deque()
        self._news = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batcher")
        states.compile()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts to answer."""
        self._loop = loop
        self._thread.start()
        self._tick(loop.time())

    def _tick(self, due: float) -> None:
        self.pace.delay = max(0.0, self._loop.time() - due)
        if not self._stopping:
            due = self._loop.time() + _TICK
            self._loop.call_at(due, self._tick, due)

    def stop(self) -> None:
        """Answers the waiting jobs, saves, and ends."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._thread.join()
        self._file.save()

    @property
    def waiting(self) -> int:
        """The number of jobs that wait."""
        return len(self._waiting)

    def refusal(self) -> Reply | None:
        """Returns the reply to an utterance for which there is no time or room; otherwise None."""
        if len(self._waiting) >= self._most_waiting:
            found = f"{len(self._waiting)} utterances wait for an answer; try again later"
            return 429, {"error": found}
        seconds = self.pace.wait(len(self._waiting), self._stepping)
        if seconds <= self._longest_wait:
            return None
        found = f"it would wait for {seconds:.1f} s or more; try again later"
        return 503, {"error": found, "retry_after": math.ceil(seconds)}

    async def ask(
        self,
        conversation: str,
        features: dict[str, np.ndarray] | None,
        number: int | None = None,
        speaker: str = "",
        interim: bool = False,
    ) -> Reply:
        """Returns the reply to an utterance, see `Job`."""
        if refusal := self.refusal():
            return refusal
        began = time.monotonic()
        done = self._loop.create_future()
        job = Job(conversation, features, number, speaker, interim, done)
        with self._news:
            self._waiting.append(job)
            if len(self._waiting) == 1:  # otherwise the thread has been notified, or is not waiting
                self._news.notify()
        reply = await job.done
        self.metrics.seconds.add(time.monotonic() - began)
        return reply

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._stopping:
                    if not self._news.wait(self._file.pause()):  # seconds; None for no limit
                        break
                if self._stopping and not self._waiting:
                    return
                jobs = self._choose()
            began, self._stepping = time.monotonic(), bool(jobs)
            replies = self._replies(jobs) if jobs else []
            if not self._file.save_if_due(bool(jobs)):
                replies = [_unsaved(*reply) for reply in replies]
            if jobs:
                self._loop.call_soon_threadsafe(_settle, jobs, replies)
                self.pace.add(time.monotonic() - began)
            self._stepping = False

    def _choose(self) -> list[Job]:
        """Returns the first jobs that wait, one of each conversation."""
        most = self._states.step_size(len(self._waiting)) if self._waiting else 0
        chosen: dict[str, Job] = {}
        postponed = []
        while self._waiting and len(chosen) < most:
            job = self._waiting.popleft()
            if job.conversation in chosen:
                postponed.append(job)
            else:
                chosen[job.conversation] = job
        self._waiting.extendleft(reversed(postponed))
        return list(chosen.values())

    def _replies(self, jobs: list[Job]) -> list[Reply]:
        """Returns the replies to jobs of different conversations, in their order."""
        replies: dict[str, Reply] = {}
        asked: dict[str, Job] = {}
        for job in jobs:
            if job.features is None:
                replies[job.conversation] = self._forget(job.conversation)
            elif refusal := self._refuse(job):
                replies[job.conversation] = refusal
            else:
                asked[job.conversation] = job
        now, taken = time.monotonic(), {}
        # Known conversations come first, so that no new one in the same step takes their slots.
        for name in sorted(asked, key=lambda name: self.table.find(name) is None):
            slot = self.table.take(name, now)
            if slot is None:
                found = f"all {self.table.count} places for conversations are taken"
                replies[name] = 429, {"error": found}
            else:
                taken[name] = slot
        if taken:
            replies |= self._step(taken, [asked[name] for name in taken])
        return [replies[job.conversation] for job in jobs]

    def _step(self, slots: Mapping[str, Slot], jobs: list[Job]) -> dict[str, Reply]:
        """Answers the utterances of the conversations in slots; returns the replies by name."""
        try:
            answers = self._states.step(
                [slot.number for slot in slots.values()],
                [slot.begins for slot in slots.values()],
                [job.features or {} for job in jobs],
                [job.speaker for job in jobs],
                [job.interim for job in jobs],
            )
        except Exception:
            # A bug in one step must not end the service; the states are unchanged.
            traceback.print_exc(file=sys.stderr)
            for name, slot in slots.items():
                if slot.begins:
                    self.table.release(name)
                if slot.forgotten:  # its client has not been notified yet
                    self.table.remember([name])
            return dict.fromkeys(slots, (500, {"error": "no answer; the service's log says why"}))
        self.metrics.steps.add(len(slots))
        self._file.unsaved = True
        replies = {}
        for (name, slot), job, answer in zip(slots.items(), jobs, answers, strict=True):
            count = int(self._states.counts[slot.number]) + job.interim
            body = {"conversation": name, "utterance": count} | fields(answer)
            if slot.forgotten:
                self.metrics.forgotten += 1
                body["forgotten"] = True
            replies[name] = 200, body
        return replies

    def _forget(self, conversation: str) -> Reply:
        self._file.unsaved = True
        if self.table.release(conversation):
            return 200, {"conversation": conversation, "end": True}
        return 404, {"error": f"no conversation {conversation!r:.60}"}

    def _refuse(self, job: Job) -> Reply | None:
        """Returns a reply to an utterance whose number is not the next one."""
        slot = self.table.find(job.conversation)
        known = 0 if slot is None else int(self._states.counts[slot])
        if job.number in (None, known + 1):
            return None
        found = f"utterance {job.number} of a conversation of which {known} are known here"
        forgotten = {"forgotten": True} if job.conversation in self.table.gone else {}
        return 409, {"error": found, "utterances": known} | forgotten


def _unsaved(status: int, body: dict[str, Any]) -> Reply:
    """Returns the reply that replaces another one after a failed save."""
    if status != 200:
        return status, body
    state = "it is forgotten here" if "end" in body else "it is known here: do not send it again"
    return 503, body | {"error": f"{state}, but that could not be saved"}


def _settle(jobs: list[Job], replies: list[Reply]) -> None:
    for job, reply in zip(jobs, replies, strict=True):
        if not job.done.done():  # otherwise its client has disconnected
            job.done.set_result(reply)

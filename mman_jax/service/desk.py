"""Where utterances wait for their answers: one thread answers those of one moment in one step."""

import asyncio
import collections
import pathlib
import sys
import threading
import time
import traceback
from typing import Any, NamedTuple

import numpy as np

from mman_jax.inference.answering import fields
from mman_jax.inference.batched import Batched
from mman_jax.inference.places import Places
from mman_jax.service.metrics import Metrics
from mman_jax.service.saving import Saving

Reply = tuple[int, dict[str, Any]]
"""An HTTP status, and what is said with it."""


class Job(NamedTuple):
    """An utterance to answer, or (without features) a conversation to forget."""

    conversation: str
    features: dict[str, np.ndarray] | None
    number: int | None
    done: asyncio.Future
    since: float


class Desk:
    """Answers jobs in the order in which they come; of one conversation one in a step.

    Nothing but its thread touches states and places, from `start` to `stop`.
    """

    def __init__(
        self,
        batched: Batched,
        places: Places,
        most_waiting: int,
        kept: pathlib.Path | None = None,
        every: float = 10.0,
    ):
        """Reads the states that are kept, if there are any, and compiles.

        Args:
            batched: as many places as `places` has.
            places: of conversations; none is taken.
            most_waiting: jobs that wait at a time; more are told to come again.
            kept: where conversations are read from and saved.
            every: seconds between two saves; 0: an answer is sent after it was saved.

        Raises:
            InputError: a file that is kept, and cannot be used.
        """
        self.metrics, self.places = Metrics(), places
        self._batched, self._most_waiting = batched, most_waiting
        self._counts = np.zeros(places.count, np.int64)
        self._saving = Saving(kept, every, batched, places, self._counts)
        self._waiting: collections.deque[Job] = collections.deque()
        self._news = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="desk")
        batched.compile()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answers from now on."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Answers what waits, saves, and ends."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._thread.join()
        self._saving.save()

    @property
    def dims(self) -> dict[str, int]:
        """D of each modality."""
        return self._batched.answerer.dims

    @property
    def classes(self) -> list[str]:
        """Names of the probabilities."""
        return list(self._batched.answerer.classes)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    async def ask(
        self, conversation: str, features: dict[str, np.ndarray] | None, number: int | None = None
    ) -> Reply:
        """What is said to an utterance.

        Args:
            conversation: its name.
            features: [D] float32 of the modalities that are there; None: forget the conversation.
            number: of the utterance in its conversation, from 1, where its sender counts.
        """
        if len(self._waiting) >= self._most_waiting:
            found = f"{len(self._waiting)} utterances wait for an answer; come again later"
            return 429, {"error": found}
        job = Job(conversation, features, number, self._loop.create_future(), time.monotonic())
        with self._news:
            self._waiting.append(job)
            if len(self._waiting) == 1:  # else it does not wait, or was told
                self._news.notify()
        reply = await job.done
        self.metrics.seconds.add(time.monotonic() - job.since)
        return reply

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._stopping:
                    if not self._news.wait(self._saving.pause()):  # seconds, or None: for good
                        break
                if self._stopping and not self._waiting:
                    return
                jobs = self._choose()
            replies = self._replies(jobs) if jobs else []
            if not self._saving.keeps(bool(jobs)):
                replies = [_unsaved(*reply) for reply in replies]
            if jobs:
                self._loop.call_soon_threadsafe(_settle, jobs, replies)

    def _choose(self) -> list[Job]:
        """The first jobs that wait, of each conversation one."""
        chosen, names, left = [], set(), []
        most = self._batched.fitting(len(self._waiting)) if self._waiting else 0
        while self._waiting and len(chosen) < most:
            job = self._waiting.popleft()
            if job.conversation in names:
                left.append(job)
            else:
                names.add(job.conversation)
                chosen.append(job)
        self._waiting.extendleft(reversed(left))
        return chosen

    def _replies(self, jobs: list[Job]) -> list[Reply]:
        now = time.monotonic()
        replies = [self._forget(job) or self._refuse(job) for job in jobs]
        asked = [i for i, reply in enumerate(replies) if reply is None]
        # Who is known keeps its place, and makes room for nobody that came in the same moment.
        asked.sort(key=lambda i: self.places.find(jobs[i].conversation) is None)
        taken = {}
        for i in asked:
            place = self.places.take(jobs[i].conversation, now)
            if place is None:
                found = f"all {self.places.count} places for conversations are taken"
                replies[i] = 429, {"error": found}
            else:
                taken[i] = place
        if not taken:
            return replies
        try:
            answers = self._batched.step(
                [place.index for place in taken.values()],
                [place.begins for place in taken.values()],
                [jobs[i].features for i in taken],
            )
        except Exception:
            # A bug of ours in one step must not end the service: the states are those before it.
            traceback.print_exc(file=sys.stderr)
            for i, place in taken.items():
                if place.begins:
                    self.places.release(jobs[i].conversation)
                if place.forgotten:  # it is still to be told
                    self.places.remember([jobs[i].conversation])
            return [reply or (500, {"error": "no answer; the service's log says why"})
                    for reply in replies]  # fmt: skip
        self.metrics.steps.add(len(taken))
        self._saving.unsaved = True
        for (i, place), answer in zip(taken.items(), answers, strict=True):
            self._counts[place.index] = 1 if place.begins else self._counts[place.index] + 1
            number = int(self._counts[place.index])
            said = {"conversation": jobs[i].conversation, "utterance": number}
            self.metrics.forgotten += place.forgotten
            replies[i] = (
                200,
                said | fields(answer) | ({"forgotten": True} if place.forgotten else {}),
            )
        return replies

    def _forget(self, job: Job) -> Reply | None:
        if job.features is not None:
            return None
        self._saving.unsaved = True
        if self.places.release(job.conversation):
            return 200, {"conversation": job.conversation, "end": True}
        return 404, {"error": f"no conversation {job.conversation!r:.60}"}

    def _refuse(self, job: Job) -> Reply | None:
        index = self.places.find(job.conversation)
        held = 0 if index is None else int(self._counts[index])
        if job.number in (None, held + 1):
            return None
        found = f"utterance {job.number} of a conversation of which {held} are known here"
        forgotten = {"forgotten": True} if self.places.had_to_go(job.conversation) else {}
        return 409, {"error": found, "utterances": held} | forgotten


def _unsaved(status: int, said: dict[str, Any]) -> Reply:
    """What is said in place of what was to wait for a save that failed."""
    if status != 200:
        return status, said
    what = "it is forgotten here" if "end" in said else "it is known here: do not send it again"
    return 503, said | {"error": f"{what}, but that could not be saved"}


def _settle(jobs: list[Job], replies: list[Reply]) -> None:
    for job, reply in zip(jobs, replies, strict=True):
        if not job.done.done():  # else its client has gone
            job.done.set_result(reply)

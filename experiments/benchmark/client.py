"""A client that loads a service: many connections, each with a conversation of its own."""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_VARIANTS = 4


class Load(NamedTuple):
    """What a service did in some time.

    Attributes:
        seconds: that it took.
        latencies: seconds from when each answered utterance was due, in order of answers.
        refused: requests with another status than 200.
        wrong: answers to another conversation or utterance than was asked.
    """

    seconds: float
    latencies: np.ndarray
    refused: int
    wrong: int


class Connection(asyncio.Protocol):
    """One utterance after another of one conversation, over one connection."""

    def __init__(self, name: str, dims: dict[str, int], text: bool, random: np.random.Generator):
        """Nothing sent yet.

        Args:
            name: of the conversation.
            dims: D of each modality.
            text: whether features are lists of numbers; else base64.
            random: draws the features.
        """
        self.name, self.utterance, self.wrong, self.refused = name, 0, 0, 0
        self.latencies: list[float] = []
        self._due: list[float] = []
        self._buffer = b""
        self._requests = [_request(name, dims, text, random) for _ in range(_VARIANTS)]
        self.more = 0
        """Utterances to send, each as soon as the one before it is answered."""

    @property
    def busy(self) -> bool:
        """Whether something was sent and not answered."""
        return bool(self._due)

    def close(self) -> None:
        """Goes."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = transport

    def ask(self, due: float) -> None:
        """Sends an utterance now, or as soon as the one before it is answered."""
        self._due.append(due)
        if len(self._due) == 1:
            self._send()

    def data_received(self, data: bytes) -> None:
        """Takes an answer; sends what waits."""
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = b""
        due = self._due.pop(0)
        if head[9:12] == b"200":
            self.utterance += 1
            self.latencies.append(time.perf_counter() - due)
            start = f'{{"conversation":"{self.name}","utterance":{self.utterance},'
            self.wrong += not body.startswith(start.encode())
        else:
            self.refused += 1
        if self.more > 0:
            self.more -= 1
            self._due.append(time.perf_counter())
        if self._due:
            self._send()

    def _send(self) -> None:
        self._transport.write(self._requests[self.utterance % _VARIANTS])


def _request(name: str, dims: dict[str, int], text: bool, random: np.random.Generator) -> bytes:
    values = {m: random.standard_normal(d, np.float32) for m, d in dims.items()}
    if text:
        features = {m: [round(float(x), 6) for x in v] for m, v in values.items()}
    else:
        features = {m: base64.b64encode(v.tobytes()).decode() for m, v in values.items()}
    body = json.dumps({"features": features}).encode()
    return (
        f"POST /conversations/{name}/utterances HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def connect(
    port: int, names: Sequence[str], dims: dict[str, int], text: bool = False
) -> list[Connection]:
    """Connections to a service on this machine, each with a conversation."""
    random, loop = np.random.default_rng(0), asyncio.get_running_loop()
    made = [Connection(name, dims, text, random) for name in names]
    for connection in made:
        await loop.create_connection(lambda c=connection: c, "127.0.0.1", port)
    return made


async def closed(connections: Sequence[Connection], seconds: float) -> Load:
    """Each connection sends its next utterance as soon as the one before it is answered."""
    began = _begin(connections, sys.maxsize)
    await asyncio.sleep(seconds)
    for connection in connections:
        connection.more = 0
    return await _ended(connections, began)


async def counted(connections: Sequence[Connection], utterances: int) -> Load:
    """As `closed`, so many utterances of each."""
    return await _ended(connections, _begin(connections, utterances - 1))


async def paced(connections: Sequence[Connection], rate: float, seconds: float) -> Load:
    """So many utterances a second, due at random times, whether or not others are answered."""
    random = np.random.default_rng(1)
    count = int(rate * seconds)
    due = np.cumsum(random.exponential(1 / rate, count)) + time.perf_counter()
    began, sent = _reset(connections), 0
    while sent < count:
        now = time.perf_counter()
        while sent < count and due[sent] <= now:
            connections[sent % len(connections)].ask(float(due[sent]))
            sent += 1
        await asyncio.sleep(0.001)
    return await _ended(connections, began)


def _reset(connections: Sequence[Connection]) -> float:
    for connection in connections:
        connection.latencies, connection.refused, connection.wrong = [], 0, 0
    return time.perf_counter()


def _begin(connections: Sequence[Connection], more: int) -> float:
    began = _reset(connections)
    for connection in connections:
        connection.more = more
        connection.ask(time.perf_counter())
    return began


async def _ended(connections: Sequence[Connection], began: float) -> Load:
    while any(connection.busy for connection in connections):
        await asyncio.sleep(0.002)
    latencies = np.concatenate([c.latencies for c in connections])
    refused, wrong = (sum(getattr(c, n) for c in connections) for n in ("refused", "wrong"))
    return Load(time.perf_counter() - began, latencies, refused, wrong)

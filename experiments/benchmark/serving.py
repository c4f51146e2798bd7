"""Benchmarks of the service under load, with a client on the same machine."""

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from configs import mman
from experiments.benchmark.measure import measurement
from experiments.benchmark.peers import CLASSES, DIMS
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.tasks.metrics import METRICS

CONVERSATIONS, RATE, SECONDS = 500, 2500, 10
_SOAK, _LIFE = 200_000, 40  # total utterances, and utterances of one conversation
_VARIANTS = 4  # number of different requests of a connection
_REACHED = "utterances_per_second"


class Connection(asyncio.Protocol):
    """A connection that sends the utterances of one conversation, one after another.

    Attributes:
        utterance: number of answered utterances.
        remaining: utterances to send, each as soon as the previous one is answered.
        due: times of the utterances that wait for their answers.
        latencies: seconds from the time at which an utterance was due to its answer.
        refusals: seconds from the due times of the utterances that got another status than 200.
        wrong: number of answers for another conversation or utterance.
    """

    transport: asyncio.Transport

    def __init__(self, name: str, as_numbers: bool, random: np.random.Generator):
        """Prepares requests of random features, as lists of numbers or base64."""
        self.utterance = self.remaining = 0
        self.due: list[float] = []
        self.reset()
        self._name, self._buffer = name, b""
        self._requests = [_request(name, as_numbers, random) for _ in range(_VARIANTS)]

    def reset(self) -> None:
        """Clears all latencies and errors."""
        self.latencies: list[float] = []
        self.refusals: list[float] = []
        self.wrong = 0

    def connection_made(self, transport: Any) -> None:
        """Stores the transport."""
        self.transport = transport

    def ask(self, due: float) -> None:
        """Sends an utterance now, or as soon as the previous one is answered."""
        self.due.append(due)
        if len(self.due) == 1:
            self._send()

    def data_received(self, data: bytes) -> None:
        """Checks an answer and sends the next utterance."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = b""
        seconds = time.perf_counter() - self.due.pop(0)
        if head[9:12] == b"200":
            self.utterance += 1
            self.latencies.append(seconds)
            start = f'{{"conversation":"{self._name}","utterance":{self.utterance},'
            self.wrong += not body.startswith(start.encode())
        else:
            self.refusals.append(seconds)
        if self.remaining > 0:
            self.remaining -= 1
            self.due.append(time.perf_counter())
        if self.due:
            self._send()

    def _send(self) -> None:
        self.transport.write(self._requests[self.utterance % _VARIANTS])


def _request(name: str, as_numbers: bool, random: np.random.Generator) -> bytes:
    vectors = {m: random.standard_normal(size, np.float32) for m, size in DIMS.items()}
    features: dict[str, Any] = {m: [round(x, 6) for x in v.tolist()] for m, v in vectors.items()}
    if not as_numbers:
        features = {m: base64.b64encode(v.tobytes()).decode() for m, v in vectors.items()}
    body = json.dumps({"features": features}).encode()
    return (
        f"POST /conversations/{name}/utterances HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def connect(port: int, prefix: str, count: int, as_numbers: bool = False) -> list[Connection]:
    """Opens connections to a local service, each with its own conversation."""
    random, loop = np.random.default_rng(0), asyncio.get_running_loop()
    connections = [Connection(f"{prefix}{i}", as_numbers, random) for i in range(count)]
    for connection in connections:
        await loop.create_connection(lambda c=connection: c, "127.0.0.1", port)
    return connections


async def closed_loop(
    connections: Sequence[Connection], seconds: float = 0, utterances: int = sys.maxsize
) -> dict[str, Any]:
    """Loads the service; each connection sends an utterance once the previous one is answered.

    It ends after `seconds`, or after a number of utterances of each connection.
    """
    start = _reset(connections)
    for connection in connections:
        connection.remaining = utterances - 1
        connection.ask(time.perf_counter())
    if utterances == sys.maxsize:
        await asyncio.sleep(seconds)
        for connection in connections:
            connection.remaining = 0
    return await _finish(connections, start)


async def open_loop(
    connections: Sequence[Connection], rate: float, seconds: float
) -> dict[str, Any]:
    """Loads the service with `rate` utterances per second, due at random times."""
    random = np.random.default_rng(1)
    count = int(rate * seconds)
    due = np.cumsum(random.exponential(1 / rate, count)) + time.perf_counter()
    start, sent = _reset(connections), 0
    while sent < count:
        now = time.perf_counter()
        while sent < count and due[sent] <= now:
            connections[sent % len(connections)].ask(float(due[sent]))
            sent += 1
        await asyncio.sleep(0.001)
    return await _finish(connections, start)


def _reset(connections: Sequence[Connection]) -> float:
    for connection in connections:
        connection.reset()
    return time.perf_counter()


async def _finish(connections: Sequence[Connection], start: float) -> dict[str, Any]:
    """Waits for all answers; returns fields of a measurement of the load."""
    while any(connection.due for connection in connections):
        await asyncio.sleep(0.002)
    seconds = time.perf_counter() - start
    latencies = np.concatenate([connection.latencies for connection in connections])
    refusals = np.concatenate([connection.refusals for connection in connections])
    return {
        "seconds": seconds,
        "utterances": len(latencies),
        _REACHED: len(latencies) / seconds,
        "milliseconds": _percentiles(latencies),
        "refused": len(refusals),
        "refused_milliseconds": _percentiles(refusals),
        "wrong": sum(connection.wrong for connection in connections),
    }


def _percentiles(seconds: np.ndarray) -> dict[str, float]:
    """Returns the median and the 99th percentile in milliseconds, empty without a value."""
    values = 1e3 * np.percentile(seconds, [50, 99]) if len(seconds) else ()
    return dict(zip(("p50", "p99"), map(float, values), strict=False))


def case_serve(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures the service's throughput and latencies under four loads.

    `position` names the load: `closed` (each conversation waits for its answer), `half` (2500
    utterances per second, without waiting for answers), `twice` (twice the rate of `closed`, over
    four times as many connections), `after` (a quarter of the rate of `closed`, right after
    `twice`). `cpu_microseconds` is the CPU time per utterance.
    """
    for form in ("base64", "numbers"):
        with _service(f"--conversations={4 * CONVERSATIONS}") as (port, process):
            for line in _run(_serve_loads(port, process.pid, form == "numbers")):
                yield line | {"features": form}


async def _serve_loads(port: int, pid: int, as_numbers: bool) -> list[dict[str, Any]]:
    connections = await connect(port, "c", CONVERSATIONS, as_numbers)
    await closed_loop(connections, 2)  # warms up
    before = _cpu_seconds(pid), time.process_time()
    closed = await closed_loop(connections, SECONDS)
    spent = _cpu_seconds(pid) - before[0], time.process_time() - before[1]
    cpu = (1e6 * seconds / closed["utterances"] for seconds in spent)
    loads = {"closed": closed}
    closed["cpu_microseconds"] = dict(zip(("service", "client"), cpu, strict=True))
    loads["half"] = await open_loop(connections, RATE, SECONDS)
    further, reached = await connect(port, "d", 3 * CONVERSATIONS, as_numbers), closed[_REACHED]
    loads["twice"] = await open_loop(connections + further, 2 * reached, SECONDS / 2)
    loads["after"] = await open_loop(connections, reached / 4, SECONDS / 2)
    return [measurement("serve", position=name, **load) for name, load in loads.items()]


def case_soak(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures the service's memory while conversations start and end (Linux)."""
    with _service("--conversations=600", "--idle_seconds=0") as (port, process):
        yield _run(_soak(port, process.pid))


async def _soak(port: int, pid: int) -> dict[str, Any]:
    connections: list[Connection] = []
    memory, answered = [], 0
    for life in range(_SOAK // (CONVERSATIONS * _LIFE)):
        for connection in connections:
            connection.transport.close()
        connections = await connect(port, f"life{life}_", CONVERSATIONS)
        load = await closed_loop(connections, utterances=_LIFE)
        answered += load["utterances"]
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        memory.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
    fields = {"answered": answered, "memory_mib": memory, "growth": memory[-1] / memory[1] - 1}
    return measurement("soak", life=life, **fields, **load)


@contextlib.contextmanager
def _service(*flags: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """Starts a service of an untrained MMAN, and yields its port and its process."""
    with tempfile.TemporaryDirectory() as folder:
        write_untrained(pathlib.Path(folder))
        command = [sys.executable, "-m", "experiments.serve", f"--checkpoint={folder}", "--port=0"]
        process = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            fields = process.stdout.readline().split(":")
            if len(fields) < 3:
                raise InputError("the service", "did not start", "pip install 'mman_jax[serve]'")
            yield int(fields[2].split(",")[0]), process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    import uvicorn

    loop: Callable | None = uvicorn.Config("").get_loop_factory()  # uvloop if it is installed
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process (Linux)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_untrained(workdir: pathlib.Path) -> None:
    """Writes the files of a run that predictions need, for an MMAN with random weights."""
    settings = mman.get_config().network
    network = build(settings, list(DIMS), CLASSES)
    params = jax.jit(network.init)(jax.random.key(0), network.example(DIMS))["params"]
    zeros = {m: np.zeros(d, np.float32) for m, d in DIMS.items()}
    scaling = Scaling(zeros, {m: x + 1 for m, x in zeros.items()})
    one_seed = jax.tree.map(lambda x: np.asarray(x)[None], params)
    model = Model(one_seed, scaling, settings.to_dict(), dict(DIMS), ("a", "b", "c", "d"))
    model.save(workdir / "model" / "auto")
    score = {"mean": 0.0, "std": 0.0, "per_seed": [0.0]}
    scores: dict[str, Any] = dict.fromkeys(METRICS, score) | {"majority_accuracy": 0.0}
    results = {"system": "mman", "protocol": "auto", "parameters": {"total": 1}, "towers": {}}
    results |= dict.fromkeys(("test", "validation", "test_oracle"), scores)
    (workdir / "results.json").write_text(json.dumps(results))

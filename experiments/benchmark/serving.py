"""The service under load, client and server on this machine."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import jax
import numpy as np

from configs import mman
from experiments.benchmark import client
from experiments.benchmark.peer_pytorch import CLASSES, DIMS
from experiments.benchmark.timing import line
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.evaluation.metrics import METRICS
from mman_jax.inference.model import Model
from mman_jax.systems import build

CONVERSATIONS, TARGET, SECONDS = 500, 5000, 10
_SOAK, _LIVES = 200_000, 40  # utterances in all, and of a conversation


def case_serve(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Utterances a second over HTTP, and how long each takes at half of what is aimed at.

    `cpu_microseconds` are those that an utterance costs the service and the client, whatever else
    the machine does.

    `position` says how they come: `closed` (each conversation waits for its answer), `half` (at
    2500 a second, whether or not answers come; times count from when each was due), `twice` (at
    twice what `closed` reached, over four times as many connections), `after` (as `half` at a
    quarter of what `closed` reached, right after `twice`).
    """
    for form in ("base64", "numbers"):
        with _served(f"--conversations={4 * CONVERSATIONS}") as (port, process):
            for found in _run(_measured(port, process.pid, form == "numbers")):
                yield found | {"features": form}


def case_soak(_: np.ndarray) -> Iterator[dict[str, Any]]:
    """Conversations that come and go: what the service's memory does meanwhile (Linux)."""
    with _served("--conversations=600", "--idle_seconds=0") as (port, process):
        yield from _run(_soaked(port, process.pid))


async def _measured(port: int, pid: int, text: bool) -> list[dict[str, Any]]:
    connections = await client.connect(port, _names("c", CONVERSATIONS), DIMS, text)
    await client.closed(connections, 2)  # until all is warm
    before = _spent(pid), time.process_time()
    closed = await client.closed(connections, SECONDS)
    spent = _spent(pid) - before[0], time.process_time() - before[1]
    count = len(closed.latencies)
    cpu = dict(zip(("service", "client"), (1e6 * s / count for s in spent), strict=True))
    reached = count / closed.seconds
    half = await client.paced(connections, TARGET / 2, SECONDS)
    more = await client.connect(port, _names("d", 3 * CONVERSATIONS), DIMS, text)
    twice = await client.paced(connections + more, 2 * reached, SECONDS / 2)
    after = await client.paced(connections, reached / 4, SECONDS / 2)
    several = {"closed": closed, "half": half, "twice": twice, "after": after}
    lines = [_line("serve", load, position=name) for name, load in several.items()]
    return [lines[0] | {"cpu_microseconds": cpu}, *lines[1:]]


async def _soaked(port: int, pid: int) -> list[dict[str, Any]]:
    connections, memory, answered = [], [], 0
    lives = _SOAK // (CONVERSATIONS * _LIVES)
    for life in range(lives):
        for connection in connections:
            connection.close()
        connections = await client.connect(port, _names(f"life{life}_", CONVERSATIONS), DIMS)
        load = await client.counted(connections, _LIVES)
        answered += len(load.latencies)
        memory.append(_memory(pid))
        last = _line("soak", load, life=life)
    early, late = memory[1], memory[-1]
    return [last | {"answered": answered, "memory_mib": memory, "growth": late / early - 1}]


def _line(case: str, load: client.Load, **more: Any) -> dict[str, Any]:
    found = dict(zip(("p50", "p99"), 1e3 * np.percentile(load.latencies, [50, 99]), strict=True))
    return line(
        case,
        load.seconds,
        **more,
        utterances=len(load.latencies),
        utterances_per_second=len(load.latencies) / load.seconds,
        milliseconds={name: float(value) for name, value in found.items()},
        refused=load.refused,
        wrong=load.wrong,
    )


@contextlib.contextmanager
def _served(*flags: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """A service of an untrained MMAN: its port, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        untrained(pathlib.Path(folder))
        command = (sys.executable, "-m", "experiments.serve", f"--checkpoint={folder}", "--port=0")
        process = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True)
        try:
            said = process.stdout.readline().split(":")
            if len(said) < 3:
                raise InputError("the service", "did not start", "pip install 'mman_jax[serve]'")
            yield int(said[2].split(",")[0]), process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    import uvicorn

    loop: Callable | None = uvicorn.Config("").get_loop_factory()  # uvloop, where it is installed
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


def _spent(pid: int) -> float:
    """Seconds of CPU time that a process has taken (Linux)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """MiB that a process holds."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def untrained(workdir: pathlib.Path) -> None:
    """Writes a run's folder, as far as answers need it: MMAN of one seed, with random weights."""
    network = build(mman.get_config().network, list(DIMS), CLASSES)
    params = jax.jit(network.init)(jax.random.key(0), network.example(DIMS))["params"]
    scaling = Scaling(
        {m: np.zeros(d, np.float32) for m, d in DIMS.items()},
        {m: np.ones(d, np.float32) for m, d in DIMS.items()},
    )
    settings, classes = mman.get_config().network.to_dict(), ("a", "b", "c", "d")
    stacked = jax.tree.map(lambda x: np.asarray(x)[None], params)
    model = Model(stacked, scaling, settings, dict(DIMS), classes)
    model.save(workdir / "model" / "auto")
    spread = {"mean": 0.0, "std": 0.0, "per_seed": [0.0]}
    scores: dict[str, Any] = dict.fromkeys(METRICS, spread) | {"majority_accuracy": 0.0}
    results = {"system": "mman", "protocol": "auto", "parameters": {"total": 1}, "towers": {}}
    results |= dict.fromkeys(("test", "validation", "test_oracle"), scores)
    (workdir / "results.json").write_text(json.dumps(results))

"""How fast it is: `python -m experiments.bench [--case=epoch] [--peer]`, a JSON line a measurement.

Random features of IEMOCAP's sizes and conversation lengths; the networks and the batches (30
conversations) of `configs/mman.py`, without dropout, which the peer has not either.
`useful_gflop_per_second` counts 6 x parameters for each real utterance (2 x where nothing is
learned); padding does not count.
"""

import functools
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from configs import mman
from experiments.benchmark.peer_pytorch import CLASSES, DIMS, MODES
from experiments.benchmark.timing import line, median, useful
from experiments.terminal import command
from mman_jax.data import batching
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.inference import stream
from mman_jax.systems import build
from mman_jax.training import mesh as parallel
from mman_jax.training.feeding import Resident, Streamed
from mman_jax.training.trainer import Trainer
from mman_jax.types import Batch

_LENGTHS = flags.DEFINE_string(
    "lengths",
    str(pathlib.Path(__file__).with_name("benchmark") / "iemocap_lengths.json"),
    "JSON of lengths.",
)
_CASE = flags.DEFINE_string("case", "", "The one case to run; by default all.")
_PEER = flags.DEFINE_bool("peer", False, "Whether to time PyTorch beside it (extra: torch).")


def conversations(times: int = 1, folder: str | None = None) -> Batch:
    """Rows of random conversations of the given lengths, so many times over, one empty row last.

    With a folder their features are written there, and memory-mapped.
    """
    lengths = np.tile(json.loads(pathlib.Path(_LENGTHS.value).read_text())["train"], times)
    random, total = np.random.default_rng(0), int(lengths.sum())
    features = {}
    for modality, size in DIMS.items():
        features[modality] = np.empty((total, size), np.float32)
        if folder:
            path = pathlib.Path(folder) / modality
            features[modality] = np.memmap(path, np.float32, "w+", shape=(total, size))
        for start in range(0, total, 10_000):
            rows = features[modality][start : start + 10_000]
            random.standard_normal(rows.shape, np.float32, out=rows)
    corpus = Corpus(
        features,
        random.integers(0, CLASSES, total).astype(np.int32),
        ("a", "b", "c", "d"),
        lengths.astype(np.int32),
        tuple(f"c{i}" for i in range(len(lengths))),
        tuple(f"u{i}" for i in range(total)),
    )
    layout = batching.pack(corpus.lengths, range(len(lengths)))
    return batching.rows(corpus, layout, corpus.labels, None)


def parts(rows: Batch) -> dict[str, Batch]:
    """All rows to train on; three of them stand for validation and for test."""
    few = jax.tree.map(lambda x: x[-4:], rows)
    return {"train": rows, "valid": few, "test": few}


def trainer(rows: Batch, seeds: int = 1, stream: bool = False) -> Trainer:
    """MMAN on those rows."""
    config = mman.get_config()
    for block in (*config.network.unimodal.values(), config.network.early):
        block.dropout = 0.0
    network = build(config.network, list(DIMS), CLASSES)
    mesh = parallel.make_mesh(seeds)
    return Trainer(network, config.train, parts(rows), CLASSES, mesh, stream=stream)


def training(rows: Batch, seeds: int = 1, stream: bool = False) -> tuple[Callable[[], Any], int]:
    """A call that trains the towers for one epoch, and how many parameters they have."""
    made = trainer(rows, seeds, stream)
    stage = made.stage("towers")
    labels = {name: part.labels for name, part in parts(rows).items()}
    if stream:
        train = Streamed(parts(rows), made.mesh).train(stage)
    else:
        laid = Resident(parts(rows), made.mesh).labelled(labels)["train"]
        compiled = parallel.distribute(lambda s, _, part: stage.train(s, part), made.mesh)
        train = lambda state, _: compiled(state, {}, laid)  # noqa: E731
    held = {"state": made.start("towers", np.arange(seeds))}
    names = jax.tree.leaves(stage.groups)
    sizes = [x.size // seeds for x in jax.tree.leaves(held["state"].params)]
    trained = sum(n for n, name in zip(sizes, names, strict=True) if name != "frozen")

    def call():
        held["state"], losses = train(held["state"], labels)
        return losses

    return call, trained


def case_epoch() -> Iterator[dict[str, Any]]:
    """One training epoch of the four towers."""
    rows = conversations()
    call, parameters = training(rows, 1)
    yield useful("epoch", median(call), int(rows.mask.sum()), parameters, 6, seeds=1)


def case_seeds() -> Iterator[dict[str, Any]]:
    """The same epoch for several seeds at once."""
    rows = conversations()
    for seeds in (1, 10, 32):
        call, parameters = training(rows, seeds)
        utterances = int(rows.mask.sum()) * seeds
        yield useful("seeds", median(call, 2), utterances, parameters, 6, seeds=seeds)


def case_fusion() -> Iterator[dict[str, Any]]:
    """The fusion stage, all epochs, beside all epochs of the towers before it."""
    rows = conversations()
    made = trainer(rows)
    labels = {name: part.labels for name, part in parts(rows).items()}
    made.settings.towers.epochs = 3
    clock, seconds, epochs = time.perf_counter(), {}, {}
    for snapshot in made.run(labels, [0]):
        now = time.perf_counter()
        epochs[snapshot.stage] = len(snapshot.history.train_loss)
        seconds.setdefault(snapshot.stage, []).append(now - clock)
        clock = now
    # The first epoch of a stage compiles; towers train as many epochs as the config says.
    towers = float(np.median(seconds["towers"][1:])) * mman.get_config().train.towers.epochs
    fusion = float(np.sum(seconds["fusion"][1:]))
    yield line("fusion", fusion, epochs=epochs["fusion"], towers_seconds=towers,
               share_of_towers=fusion / towers)  # fmt: skip


def case_inference() -> Iterator[dict[str, Any]]:
    """Answers of the whole of MMAN to every utterance of the corpus."""
    rows = conversations()
    made = trainer(rows)
    params = made.init(np.uint32(0))
    features = {m: jnp.asarray(np.asarray(x)) for m, x in rows.features.items()}
    answer = jax.jit(
        lambda p, x, r: made.system.apply({"params": p}, x, r)[0][made.system.head],
        compiler_options=parallel.compiler_options(jax.devices()[0].platform),
    )
    parameters = sum(x.size for x in jax.tree.leaves(params))
    seconds = median(lambda: answer(params, features, rows.reset))
    yield useful("inference", seconds, int(rows.mask.sum()), parameters, 2)


def case_step() -> Iterator[dict[str, Any]]:
    """One streaming step of MMAN, early in a conversation and 10 000 utterances into it."""
    made = trainer(conversations())
    network, params = made.system, made.init(np.uint32(0))
    features = {m: np.ones(d, np.float32) for m, d in DIMS.items()}
    state = stream.init_state(network, params, features)
    step = jax.jit(
        functools.partial(stream.step, network),
        compiler_options=parallel.compiler_options(jax.devices()[0].platform),
    )
    seconds = []
    for _ in range(10_100):
        began = time.perf_counter()
        state, probabilities = step(params, state, features)
        probabilities.block_until_ready()
        seconds.append(time.perf_counter() - began)
    for name, part in (("early", seconds[1:101]), ("after 10000", seconds[-100:])):
        yield line("step", float(np.median(part)), position=name)


def case_start() -> Iterator[dict[str, Any]]:
    """From the command to the end of its first epoch, with an empty cache and with a filled one."""
    with tempfile.TemporaryDirectory() as folder:
        for cache in ("empty", "filled"):
            workdir = pathlib.Path(folder) / cache
            flags_ = [f"--workdir={workdir}", "--config.train.max_epochs=1"]
            flags_.append(f"--compilation_cache={folder}/cache")
            began = time.perf_counter()
            run = subprocess.Popen(
                [
                    sys.executable,
                    "-u",
                    "-m",
                    "experiments.run",
                    "--config=configs/mman.py",
                    *flags_,
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            first = None
            for printed in run.stdout:
                if first is None and "epoch 1/" in printed:
                    first = time.perf_counter() - began
            run.wait()
            yield line("start", first, cache=cache)


def case_growth() -> Iterator[dict[str, Any]]:
    """The epoch on 1, 10 and 100 times the corpus, streamed from a memory-mapped file.

    `peak_memory_gib` counts the file's pages that the system keeps at hand, too;
    `own_memory_gib`, what the process itself holds after the epoch, does not (Linux).
    """
    for times in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            rows = conversations(times, folder)
            call, parameters = training(rows, stream=True)
            utterances = int(rows.mask.sum())
            seconds = median(call, 5 if times == 1 else 1)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            status = pathlib.Path("/proc/self/status").read_text()
            own = int(status.split("RssAnon:")[1].split()[0]) / 2**20
            features = sum(x.nbytes for x in rows.features.values()) / 2**30
            yield useful("growth", seconds, utterances, parameters, 6, times=times,
                         microseconds_per_utterance=1e6 * seconds / utterances,
                         peak_memory_gib=peak, own_memory_gib=own,
                         features_gib=features)  # fmt: skip


CASES = {
    "epoch": case_epoch,
    "seeds": case_seeds,
    "fusion": case_fusion,
    "inference": case_inference,
    "step": case_step,
    "start": case_start,
    "growth": case_growth,
}


def peer(ours: float) -> Iterator[dict[str, Any]]:
    """PyTorch's epoch in each of its modes, in a process of its own, and its time over ours."""
    for mode in MODES:
        arguments = [f"--mode={mode}", f"--lengths={_LENGTHS.value}"]
        ended = subprocess.run(
            [sys.executable, "-m", "experiments.benchmark.peer_pytorch", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise InputError("--peer", ended.stderr.strip().splitlines()[-1], "torch installed")
        found = json.loads(ended.stdout)
        yield found | {"case": "peer", "times_ours": found["seconds"] / ours}


def main() -> None:
    """Runs the cases."""
    if _CASE.value and _CASE.value not in CASES:
        raise InputError("--case", repr(_CASE.value), nearest(_CASE.value, CASES))
    for name, case in CASES.items():
        if _CASE.value not in ("", name):
            continue
        for found in case():
            print(json.dumps(found), flush=True)
        if name == "epoch" and _PEER.value:
            for other in peer(found["seconds"]):
                print(json.dumps(other), flush=True)


if __name__ == "__main__":
    command.run(main)

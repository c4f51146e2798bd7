"""Cases of `experiments.bench`: each takes the lengths of conversations and yields lines."""

import functools
import pathlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from configs import mman
from experiments.benchmark.peer_pytorch import CLASSES, DIMS
from experiments.benchmark.reading import case_read
from experiments.benchmark.rows import answering, conversations, parts
from experiments.benchmark.serving import case_serve, case_soak
from experiments.benchmark.starting import case_start
from experiments.benchmark.sweeping import case_sweep
from experiments.benchmark.systems import case_systems
from experiments.benchmark.timing import line, median, useful
from mman_jax.inference import answerer
from mman_jax.systems import build
from mman_jax.training import mesh as parallel
from mman_jax.training.feeding import Resident, Streamed
from mman_jax.training.programs import initial
from mman_jax.training.trainer import Trainer
from mman_jax.types import Batch


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


def case_epoch(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """One training epoch of the four towers."""
    rows = conversations(lengths)
    call, parameters = training(rows, 1)
    yield useful("epoch", median(call), int(rows.mask.sum()), parameters, 6, seeds=1)


def case_seeds(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """The same epoch for several seeds at once."""
    rows = conversations(lengths)
    for seeds in (1, 10, 32):
        call, parameters = training(rows, seeds)
        utterances = int(rows.mask.sum()) * seeds
        yield useful("seeds", median(call, 2), utterances, parameters, 6, seeds=seeds)


def case_fusion(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """The fusion stage, all epochs, beside all epochs of the towers before it."""
    rows = conversations(lengths)
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


def case_inference(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Answers of the whole of MMAN to every utterance of the corpus."""
    rows = conversations(lengths)
    made = trainer(rows)
    params = initial(made.system, made.sizes, np.uint32(0))
    parameters = sum(x.size for x in jax.tree.leaves(params))
    seconds = median(answering(made.system, params, rows))
    yield useful("inference", seconds, int(rows.mask.sum()), parameters, 2)


def case_step(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """One streaming step of MMAN, early in a conversation and 10 000 utterances into it."""
    made = trainer(conversations(lengths))
    network, params = made.system, initial(made.system, made.sizes, np.uint32(0))
    features = {m: np.ones(d, np.float32) for m, d in DIMS.items()}
    state = answerer.init_state(network, params, features)
    step = jax.jit(
        functools.partial(answerer.step, network),
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


def case_growth(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """The epoch on 1, 10 and 100 times the corpus, streamed from a memory-mapped file.

    `peak_memory_gib` counts the file's pages that the system keeps at hand, too;
    `own_memory_gib`, what the process itself holds after the epoch, does not (Linux).
    """
    for times in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            rows = conversations(lengths, times, folder)
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


CASES: dict[str, Callable[[np.ndarray], Iterator[dict[str, Any]]]] = {
    "epoch": case_epoch,
    "seeds": case_seeds,
    "fusion": case_fusion,
    "inference": case_inference,
    "step": case_step,
    "start": case_start,
    "growth": case_growth,
    "read": case_read,
    "sweep": case_sweep,
    "serve": case_serve,
    "soak": case_soak,
    "systems": case_systems,
}

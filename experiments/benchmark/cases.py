"""Cases of `experiments.bench`: functions from conversation lengths to measurements."""

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
from experiments.benchmark.commands import case_read, case_start, case_sweep
from experiments.benchmark.hearing import case_interim, case_speakers
from experiments.benchmark.measure import (
    conversations,
    measurement,
    median_seconds,
    parts,
    predictor,
    throughput,
)
from experiments.benchmark.peers import CLASSES, DIMS
from experiments.benchmark.serving import case_serve, case_soak
from experiments.benchmark.systems import case_systems
from experiments.benchmark.tpu import case_tpu
from mman_jax.systems import build
from mman_jax.systems import step as stepping
from mman_jax.training import mesh as parallel
from mman_jax.training.feeding import Resident, Streamed
from mman_jax.training.programs import initial
from mman_jax.training.trainer import Trainer
from mman_jax.types import Batch


def mman_trainer(rows: Batch, seeds: int = 1, streamed: bool = False) -> Trainer:
    """Returns the trainer of an MMAN without dropout."""
    config = mman.get_config()
    for block in (*config.network.unimodal.values(), config.network.early):
        block.dropout = 0.0
    network = build(config.network, list(DIMS), CLASSES)
    mesh = parallel.make_mesh(seeds)
    return Trainer(network, config.train, parts(rows), CLASSES, mesh, stream=streamed)


def tower_epoch(
    rows: Batch, seeds: int = 1, streamed: bool = False
) -> tuple[Callable[[], Any], int]:
    """Returns a function that trains the towers for one epoch, and their number of parameters."""
    trainer = mman_trainer(rows, seeds, streamed)
    stage = trainer.stage("towers")
    labels = {name: part.labels for name, part in parts(rows).items()}
    if streamed:
        train = Streamed(parts(rows), trainer.mesh).train(stage)
    else:
        resident = Resident(parts(rows), trainer.mesh).labelled(labels)["train"]
        compiled = parallel.distribute(lambda s, _, part: stage.train(s, part), trainer.mesh)
        train = lambda state, _: compiled(state, {}, resident)  # noqa: E731
    state = trainer.start("towers", np.arange(seeds))
    groups, leaves = (jax.tree.leaves(tree) for tree in (stage.groups, state.params))
    trained = [x for x, group in zip(leaves, groups, strict=True) if group != "frozen"]

    def epoch() -> Any:
        nonlocal state
        state, losses = train(state, labels)
        return losses

    return epoch, sum(x.size // seeds for x in trained)


def case_epoch(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures one training epoch of the four towers."""
    rows = conversations(lengths)
    epoch, parameters = tower_epoch(rows)
    seconds = median_seconds(epoch)
    yield throughput("epoch", seconds, int(rows.mask.sum()), parameters, 6, seeds=1)


def case_seeds(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures the epoch of `case_epoch` for several seeds at once."""
    rows = conversations(lengths)
    for seeds in (1, 10, 32):
        epoch, parameters = tower_epoch(rows, seeds)
        utterances = int(rows.mask.sum()) * seeds
        yield throughput("seeds", median_seconds(epoch, 2), utterances, parameters, 6, seeds=seeds)


def case_fusion(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures all epochs of the fusion, relative to all epochs of the towers."""
    rows = conversations(lengths)
    trainer = mman_trainer(rows)
    labels = {name: part.labels for name, part in parts(rows).items()}
    trainer.settings.towers.epochs = 3
    seconds: dict[str, list[float]] = {}
    epochs = {}
    clock = time.perf_counter()
    for snapshot in trainer.run(labels, [0]):
        now = time.perf_counter()
        epochs[snapshot.stage] = len(snapshot.history.train_loss)
        seconds.setdefault(snapshot.stage, []).append(now - clock)
        clock = now
    # The first epoch of a stage includes compilation; the config sets the epochs of the towers.
    towers = float(np.median(seconds["towers"][1:])) * mman.get_config().train.towers.epochs
    fusion = float(np.sum(seconds["fusion"][1:]))
    fields = {"towers_seconds": towers, "share_of_towers": fusion / towers}
    yield measurement("fusion", fusion, epochs=epochs["fusion"], **fields)


def case_inference(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures the predictions of MMAN for all utterances."""
    rows = conversations(lengths)
    trainer = mman_trainer(rows)
    params = initial(trainer.system, trainer.sizes, np.uint32(0))
    parameters = sum(x.size for x in jax.tree.leaves(params))
    seconds = median_seconds(predictor(trainer.system, params, rows))
    yield throughput("inference", seconds, int(rows.mask.sum()), parameters, 2)


def case_step(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures a streaming step of MMAN, early in a conversation and after 10 000 utterances."""
    trainer = mman_trainer(conversations(lengths))
    params = initial(trainer.system, trainer.sizes, np.uint32(0))
    inputs = trainer.system.example(DIMS)._replace(reset=np.zeros((1, 1), bool))
    state = jax.tree.map(np.zeros_like, stepping.step(trainer.system, params, inputs).state)
    step = jax.jit(
        functools.partial(stepping.step, trainer.system),
        compiler_options=parallel.compiler_options(jax.devices()[0].platform),
    )
    seconds = []
    for _ in range(10_100):
        start = time.perf_counter()
        logits, state, _ = step(params, inputs, state)
        logits.block_until_ready()
        seconds.append(time.perf_counter() - start)
    for position, times in (("early", seconds[1:101]), ("after 10000", seconds[-100:])):
        yield measurement("step", float(np.median(times)), position=position)


def case_growth(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Measures the epoch on 1, 10 and 100 times the corpus, streamed from a memory-mapped file.

    `peak_memory_gib` includes cached pages of the file; `own_memory_gib`, the memory of the process
    after the epoch, does not (Linux).
    """
    for times in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            rows = conversations(lengths, times, folder)
            epoch, parameters = tower_epoch(rows, streamed=True)
            utterances = int(rows.mask.sum())
            seconds = median_seconds(epoch, 5 if times == 1 else 1)
            status = pathlib.Path("/proc/self/status").read_text()
            fields = {
                "times": times,
                "microseconds_per_utterance": 1e6 * seconds / utterances,
                "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                "own_memory_gib": int(status.split("RssAnon:")[1].split()[0]) / 2**20,
                "features_gib": sum(x.nbytes for x in rows.features.values()) / 2**30,
            }
            yield throughput("growth", seconds, utterances, parameters, 6, **fields)


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
    "speakers": case_speakers,
    "interim": case_interim,
    "systems": case_systems,
    "tpu": case_tpu,
}

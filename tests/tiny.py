"""A small corpus and a small recipe: whole code paths in seconds."""

import jax
import numpy as np

from configs import mman
from mman_jax.data.parts import prepare
from mman_jax.data.protocols import tasks
from mman_jax.data.synthetic import process
from mman_jax.study.towers import recipe_of
from mman_jax.systems import build
from mman_jax.systems.base import parameter_shapes
from mman_jax.training import mesh as parallel
from mman_jax.training.trainer import Trainer
from mman_jax.trial.config import network as settings

MODALITIES = ("speech", "text")


def shrink(config, hidden=8, dense=6, epochs=3):
    """Makes a config's networks small and its stages short, in place."""
    blocks = [*config.network.get("unimodal", {}).values()]
    blocks += [config.network[name] for name in ("early", "fusion") if name in config.network]
    for block in blocks:
        if "hidden" in block:
            block.hidden = (hidden,) * len(block.hidden)
            block.dense = dense
    if "early" in config.network and "attention" in config.network.early:
        config.network.early.attention.update(model=6, key=5, value=6)
    config.train.max_epochs = epochs
    config.train.batch = 4
    config.train.update(select="accuracy", smoothing=0.0)
    config.mesh.update(seeds=1, rows=1)
    return config


def recipe(dropout=0.0, epochs=3, layers=1, early=False):
    """A tower a modality and a fusion; the attention's tower too, where it is asked for."""
    config = shrink(mman.get_config(), epochs=epochs)
    if not early:
        del config.network.early
    for block in (*config.network.unimodal.values(), config.network.get("early", {})):
        if block:
            block.update(hidden=(8,) * layers, dropout=dropout, input_dropout=0.0)
    return config


def tower(dropout=0.0, epochs=3):
    """The recipe of one tower alone, for `words_alone`: the least that is trained."""
    config = recipe(dropout, epochs)
    del config.network.fusion
    return config


def words_alone():
    """The parts of the small corpus's text."""
    return prepare(corpus().select_modalities(["text"]))


def alone(config=None, seeds=1):
    """The trainer of one tower on `words_alone`, and labels; one trainer an equal config."""
    config = config or tower()
    key = "alone", config.to_json()
    if key not in _TRAINERS:
        _TRAINERS[key] = trainer(config, words_alone(), seeds)
    return _TRAINERS[key]


def recipes_of(config):
    """The small configs of the paper's systems, with what MMAN's config changes of them."""
    return lambda name: recipe_of(name, config, small)


def small(name):
    return shrink(mman.get_config(name))


def corpus(conversations=(10, 3, 4), seed=0):
    made = process.generate(process.process(), conversations, seed)
    return made.select_modalities(MODALITIES)


_TRAINERS: dict = {}


def trainer(config=None, parts=None, seeds=1, parallel_way="jit", shards=(1, 1)):
    """A trainer, and the labels of its corpus's own protocol.

    On the default corpus, one trainer an equal config: what it compiled serves all tests.
    """
    config = (config or recipe()).copy_and_resolve_references()
    key = config.to_json(), parallel_way, shards, seeds if shards[0] > 1 else 0
    if parts is None and key in _TRAINERS:
        return _TRAINERS[key]
    given, parts = parts, parts or prepare(corpus())
    task = tasks(parts.corpus, "auto")[0]
    network = build(settings(config), list(parts.corpus.dims), len(task.classes))
    mesh = parallel.make_mesh(seeds, parallel_way, *shards)
    made = Trainer(network, config.train, parts.rows, len(task.classes), mesh, parallel_way)
    if given is None:
        _TRAINERS[key] = made, parts.labels(task)
    return made, parts.labels(task)


def params(network, dims, seeds=None, seed=0):
    """Random parameters, with a leading axis S or none; nothing is compiled to draw them."""
    random, leading = np.random.default_rng(seed), () if seeds is None else (seeds,)

    def draw(leaf):
        spread = 1 / np.sqrt(leaf.shape[0])
        return random.normal(0, spread, (*leading, *leaf.shape)).astype(np.float32)

    return jax.tree.map(draw, parameter_shapes(network, dims))


def last(trainer, labels, seeds, start=None, stop_at=None):
    """The last snapshot of a run."""
    *_, snapshot = trainer.run(labels, seeds, start, stop_at=stop_at)
    return snapshot


def kept(snapshots):
    """Snapshots copied to the host: the next epoch overwrites what the devices hold."""
    return [s._replace(state=jax.tree.map(np.array, s.state)) for s in snapshots]


def seed(params, index):
    """One seed of parameters, its axis kept."""
    return jax.tree.map(lambda x: np.asarray(x)[index : index + 1], params)

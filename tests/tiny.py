"""A small corpus and a small recipe: whole code paths in seconds."""

import csv
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import mman
from mman_jax import systems
from mman_jax.data.parts import prepare
from mman_jax.data.synthetic import process
from mman_jax.study.plan import recipe_of
from mman_jax.systems.base import Stage, System
from mman_jax.tasks import tasks
from mman_jax.training import mesh as parallel
from mman_jax.training.trainer import Trainer
from mman_jax.trial import curves
from mman_jax.trial.config import network as settings

MODALITIES = ("speech", "text")


class Dense(System):
    """A dense layer per modality, and one on their predictions: MMAN's stages, compiled quickly."""

    dropout: float = 0.0
    in_context: ClassVar[bool] = False

    def setup(self):
        self.towers = {m: nn.Dense(self.outputs) for m in self.modalities}
        self.fusion = nn.Dense(self.outputs)
        self.drop = nn.Dropout(self.dropout)

    def stages(self):
        towers = Stage("towers", "predict", self.modalities)
        return towers, Stage("fusion", "fuse", ("fusion",), reads="predict")

    def predict(self, inputs, state=None, train=False):
        dropped = {m: self.drop(inputs.features[m], not train) for m in self.modalities}
        return {m: self.towers[m](x) for m, x in dropped.items()}, {}

    def fuse(self, inputs, state=None, train=False):
        answers = [jax.nn.softmax(inputs.features[m]) for m in self.modalities]
        return {"fusion": self.fusion(jnp.concatenate(answers, axis=-1))}, {}

    def __call__(self, inputs, state=None, train=False):
        logits, _ = self.predict(inputs, train=train)
        return logits | self.fuse(inputs._replace(features=logits), train=train)[0], {}


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


def without(block, name):
    return ConfigDict({field: value for field, value in block.items() if field != name})


def recipe(dropout=0.0, epochs=3, layers=1, early=False):
    """A tower per modality and a fusion, optionally with the attention tower."""
    config = shrink(mman.get_config(), epochs=epochs)
    if not early:
        config.network = without(config.network, "early")
    for block in (*config.network.unimodal.values(), config.network.get("early", {})):
        if block:
            block.update(hidden=(8,) * layers, dropout=dropout, input_dropout=0.0)
    return config


def dense(dropout=0.0, epochs=3):
    """The same training for the system of dense layers, for properties of any system."""
    config = recipe(epochs=epochs)
    config.name = "dense"
    config.system = "tests.tiny:Dense"
    systems.use(config.system)
    config.network = ConfigDict({"dropout": dropout})
    return config


def recipes_of(config):
    """The small configs of the paper's systems, with the changes of MMAN's config."""
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
    network = systems.build(settings(config), list(parts.corpus.dims), len(task.classes))
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

    return jax.tree.map(draw, network.parameter_shapes(dims))


def curve_rows(path):
    """The lines of a file of learning curves."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    names = [name.replace("valid_ccc", "valid_accuracy") for name in header]
    assert names == list(curves.Row._fields)
    return [
        curves.Row(stage, head, int(seed), int(epoch), *map(np.float32, values))
        for stage, head, seed, epoch, *values in lines
    ]


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

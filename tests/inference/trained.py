"""Untrained models in the form of a run's, and conversations."""

import dataclasses

import jax
import numpy as np

from configs import mman
from mman_jax.data.corpus import Corpus
from mman_jax.data.scaling import Scaling
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.trial.config import network
from tests import tiny

DIMS = {"speech": 5, "text": 3}
CLASSES = ("happy", "sad", "angry")
LENGTHS = (6, 3, 5)


def model(system=mman, seeds=2, classes=CLASSES, dims=DIMS, first_seed=0, change=None):
    config = tiny.shrink(system.get_config())
    if change:
        config = change(config)
    settings = network(config)
    system = build(settings, list(dims), len(classes))
    random = np.random.default_rng(first_seed)
    # Larger than at the start of training, so that every input shows in the answers.
    params = jax.tree.map(lambda x: 3 * x, tiny.params(system, dims, seeds, first_seed))
    mean = {m: random.normal(size=d).astype(np.float32) for m, d in dims.items()}
    scale = {m: random.uniform(0.5, 2, d).astype(np.float32) for m, d in dims.items()}
    return Model(params, Scaling(mean, scale), settings, dict(dims), tuple(classes), {})


def by_speaker(turns=2.0, **more):
    """A model that reduces speech to two components, and scales by speaker if there are turns."""
    made = model(dims={"speech": 2, "text": 3}, **more)
    random = np.random.default_rng(7)
    components = np.linalg.qr(random.normal(size=(DIMS["speech"], 2)))[0].astype(np.float32)
    scaling = Scaling(
        {m: random.normal(size=d).astype(np.float32) for m, d in DIMS.items()},
        {m: random.uniform(0.5, 2, d).astype(np.float32) for m, d in DIMS.items()},
        {"speech": components},
        {"speech": np.array([0.5, -0.25], np.float32)},
        turns,
    )
    return dataclasses.replace(made, scaling=scaling, dims=dict(DIMS))


def in_turn(made):
    """The same model, which scales the utterances of a file turn by turn."""
    return dataclasses.replace(made, scaling=dataclasses.replace(made.scaling, causal=True))


def corpus(missing=True, dims=DIMS):
    """Three conversations with missing modalities; one utterance lacks all."""
    random, count = np.random.default_rng(1), sum(LENGTHS)
    features = {m: random.normal(size=(count, d)).astype(np.float32) for m, d in dims.items()}
    present = {m: random.random(count) > 0.3 for m in dims} if missing else {}
    for m, there in present.items():
        there[3] = False
        features[m][~there] = 0
    return Corpus(
        features=features,
        labels=np.zeros(count, np.int32),
        label_names=("x", "y"),
        lengths=np.array(LENGTHS, np.int32),
        conversation_ids=tuple("abc"),
        utterance_ids=tuple(f"u{i}" for n in LENGTHS for i in range(n)),
        present=present,
        source="here",
    )


def there(given, i):
    """The features of an utterance that are not missing."""
    return {m: x[i] for m, x in given.features.items() if m not in given.present
            or given.present[m][i]}  # fmt: skip


def rows(given):
    """Features and masks as exported functions take them, and which cells are utterances."""
    cells = np.arange(max(LENGTHS)) < given.lengths[:, None]

    def lay(values):
        packed = np.zeros((*cells.shape, *values.shape[1:]), values.dtype)
        packed[cells] = values
        return packed

    features = {m: lay(x) for m, x in given.features.items()}
    return features, {m: lay(given.present.get(m, np.ones(len(x), bool)))
                      for m, x in given.features.items()}, cells  # fmt: skip

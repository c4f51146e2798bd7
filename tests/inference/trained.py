"""Models as a run leaves them, untrained: answers are checked here, not accuracy."""

import dataclasses

import jax
import numpy as np

from configs import mman
from mman_jax.data.scaling import Scaling
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.trial.config import network
from tests import tiny

DIMS = {"speech": 5, "text": 3}
CLASSES = ("happy", "sad", "angry")


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

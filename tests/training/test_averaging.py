import jax
import numpy as np

from mman_jax.training import averaging
from mman_jax.training.freezing import FROZEN
from tests import tiny

GROUPS = {"late": "late", "text": FROZEN}


def test_it_is_a_weighted_mean_of_the_steps_so_far():
    # Weights 0.25, 0.5 and 1 of three steps at a decay of one half; what it began at counts not.
    average = averaging.start({"late": np.float32(99), "text": np.float32(3)}, 0.5)
    for value in (1.0, 2.0, 4.0):
        params = {"late": np.float32(value), "text": np.float32(3)}
        average = averaging.update(average, params, 0.5)
    found = averaging.value(average, params, GROUPS, 0.5)
    np.testing.assert_allclose(found["late"], (0.25 + 1 + 4) / 1.75, rtol=1e-6)
    assert found["text"] == 3  # frozen: bit for bit


def test_without_a_decay_there_is_none():
    params = {"late": np.float32(1), "text": np.float32(3)}
    assert averaging.start(params, 0.0) == ()
    assert averaging.value((), params, GROUPS, 0.0) is params


def test_the_average_is_kept_and_the_iterate_trains_on():
    config = tiny.recipe(epochs=2)
    config.train.average = 0.5
    trainer, labels = tiny.trainer(config)
    plain, _ = tiny.trainer(tiny.recipe(epochs=2))
    kept = tiny.kept(trainer.run(labels, [0]))
    first = next(iter(plain.run(labels, [0])))
    # The steps are the same; what is kept differs.
    jax.tree.map(
        np.testing.assert_array_equal, kept[0].state.params, jax.device_get(first.state.params)
    )
    own, last = (jax.tree.leaves(x.state.best["towers_text"])[0] for x in (kept[0], first))
    assert not np.allclose(own, last)
    # Frozen towers are those that were kept, bit for bit.
    towers = [s for s in kept if s.stage == "towers"][-1].state.best["towers_text"]
    jax.tree.map(np.testing.assert_array_equal, kept[-1].state.best["towers_text"], towers)

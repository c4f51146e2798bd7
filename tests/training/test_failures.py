"""A seed whose training diverges stops, says where, and leaves the others as they are."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.training import failures
from mman_jax.training.outcome import converged, of_seeds
from mman_jax.trial import results
from tests import tiny

MODALITIES = (*tiny.MODALITIES, "mma")


@pytest.fixture(scope="module")
def finished():
    """Seed 0 as it should be, seed 1 at learning rates that no network survives."""
    config = tiny.recipe(dropout=0.3, epochs=4)
    trainer, labels = tiny.trainer(config, seeds=2)
    *_, snapshot = trainer.run(labels, [0, 1], paces=[1.0, 1e38])
    return trainer, labels, snapshot


def test_the_others_are_what_they_are_alone(finished):
    trainer, labels, snapshot = finished
    alone = tiny.last(trainer, labels, [0])
    for stage, outcome in of_seeds(snapshot.finished, np.array([True, False])).items():
        chex.assert_trees_all_close(outcome, alone.finished[stage], atol=1e-6)
    first = jax.tree.map(lambda x: np.asarray(x)[:1], snapshot.state.best)
    chex.assert_trees_all_close(first, alone.state.best, atol=1e-6)


def test_where_it_failed_is_told(finished):
    _, _, snapshot = finished
    towers = snapshot.finished["towers"]
    assert not towers.failed[0].any()
    # The first step makes the parameters huge, the second finds a loss that is not finite.
    assert towers.failed[1].tolist() == [[1, 2]] * 3
    assert converged(snapshot.finished).tolist() == [True, False]
    heads = {"towers": MODALITIES, "fusion": ("fusion",)}
    (place,) = results.failures(snapshot.finished, [7, 8], heads)
    norm = place.pop("gradient_norm")
    assert place == {"seed": 8, "stage": "towers", "head": "speech", "epoch": 1, "step": 2}
    assert norm is None or norm >= 0
    said = results.failure(place | {"gradient_norm": norm})
    assert said.startswith("stage towers, seed 8, speech, epoch 1, step 2: loss or gradient not")


def test_a_failed_seed_stops_and_its_parameters_are_never_the_best(finished):
    _, _, snapshot = finished
    towers = snapshot.finished["towers"]
    assert (towers.best_epoch[1] == 0).all()
    assert not towers.history.training[1:, 1].any()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(snapshot.state.best))


def test_scores_are_of_the_seeds_that_are_left(finished):
    _, _, snapshot = finished
    kept = converged(snapshot.finished)
    outcome = of_seeds(snapshot.finished, kept)["fusion"]
    assert len(results.scores(outcome.test[:, 0])["accuracy"]["per_seed"]) == 1


def test_a_failure_late_in_training_counts_though_there_was_a_best_epoch(finished):
    _, _, snapshot = finished
    late = snapshot.finished["fusion"]
    failed = late.failed.copy()
    failed[0, 0] = [3, 1]
    late = late._replace(failed=failed)
    assert converged({"fusion": late}).tolist() == [False, False]
    heads = {"fusion": ("fusion",)}
    assert results.failures({"fusion": late}, [0, 1], heads)[0]["epoch"] == 3


def test_a_loss_or_a_gradient_alone_is_a_failure():
    trainer, _ = tiny.trainer(tiny.recipe())
    stage, state = trainer.stage("towers"), trainer.start("towers", [0])
    state = jax.tree.map(lambda x: x[0], state)
    heads = len(stage.heads)
    losses = jnp.ones(heads).at[0].set(jnp.nan)
    norms = jnp.ones(heads).at[1].set(jnp.inf)
    failed = failures.note(state, losses, norms, jnp.int32(4)).failed
    np.testing.assert_array_equal(failed, [[1, 5], [1, 5]] + [[0, 0]] * (heads - 2))

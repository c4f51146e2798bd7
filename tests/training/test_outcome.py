import jax
import numpy as np
import pytest

from mman_jax.training import outcome
from mman_jax.training.outcome import Outcome
from mman_jax.training.state import Record

SEEDS, CLASSES = 2, 3


def record(epochs, heads, start=1.0):
    """A history [E, S, T] whose numbers are all different and none of them zero."""
    values = start + np.arange(epochs * SEEDS * heads, dtype=np.float32)
    values = values.reshape(epochs, SEEDS, heads)
    return Record(*(values + 1000 * i for i in range(4)), np.ones(values.shape, bool))


def made(epochs, heads=1, best_epoch=1, failed=0):
    counts = np.full((SEEDS, heads, CLASSES, CLASSES), epochs, np.int32)
    return Outcome(
        np.full((SEEDS, heads), best_epoch, np.int32),
        counts,
        counts + 1,
        np.full((SEEDS, heads), 0.5, np.float32),
        np.full((SEEDS, heads, 2), failed, np.int32),
        np.zeros((SEEDS, heads), np.float32),
        record(epochs, heads),
    )


def test_joined_heads_stand_side_by_side_and_shorter_histories_end_in_zeros():
    first, second = made(3), made(1, heads=2, best_epoch=7)
    joined = outcome.join([first, second])
    assert joined.best_epoch.tolist() == [[1, 7, 7]] * SEEDS
    assert joined.test[0, :, 0, 0].tolist() == [4, 2, 2]
    for name in Record._fields:
        found = getattr(joined.history, name)
        assert found.shape == (3, SEEDS, 3)
        np.testing.assert_array_equal(found[:, :, :1], getattr(first.history, name))
        np.testing.assert_array_equal(found[:1, :, 1:], getattr(second.history, name))
        assert not found[1:, :, 1:].any()
    assert joined.history.training.dtype == bool


@pytest.mark.parametrize(
    ("changes", "well"), [({}, True), ({"best_epoch": 0}, False), ({"failed": 1}, False)]
)
def test_a_seed_converged_that_has_a_best_epoch_in_every_stage_and_no_failure(changes, well):
    finished = {"towers": made(2), "fusion": made(2, **changes)}
    assert outcome.converged(finished).tolist() == [well] * SEEDS


def test_a_history_taken_apart_is_what_it_was_stacked_of():
    whole = record(3, 2)
    parts = outcome.unstack(whole)
    assert [x.train_loss.shape for x in parts] == [(SEEDS, 2)] * 3
    jax.tree.map(np.testing.assert_array_equal, outcome.stack(parts), whole)
    by_seed = jax.tree.map(lambda x: x.swapaxes(0, 1), whole)
    jax.tree.map(np.testing.assert_array_equal, outcome.by_epoch(by_seed), parts)

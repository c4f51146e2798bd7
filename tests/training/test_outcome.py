import jax
import numpy as np
import pytest

from mman_jax.training import outcome
from mman_jax.training.optimizer import Plateau
from mman_jax.training.outcome import Outcome, no_stop, retrain_until
from mman_jax.training.state import Record
from tests import tiny
from tests.training.test_optimizer import recipe

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


def selected(best, losses):
    history = Record(*[np.float32(losses)[:, :, None]] * 5)
    return Outcome(np.array(best), *[None] * 5, history)


def test_epochs_are_those_of_as_many_steps():
    found = retrain_until(selected([[1, 10, 30]], [[0.0]]), (4, 5), 20)
    # 4 steps, 40 and 120: no fewer than one epoch, no more than there may be.
    assert found.epoch.tolist() == [[1, 8, 20]]
    assert (found.reductions == -1).all()


def test_rates_fall_at_the_steps_at_which_they_fell():
    # Of the first seed after epochs 3, 4 and 6, of the second never; an epoch has half the steps.
    losses = np.transpose([[4, 3, 3, 5, 2, 2, 9], [7, 6, 5, 4, 3, 2, 1]])
    found = retrain_until(selected([[6], [7]], losses), (6, 3), 14, Plateau(1, 0.1))
    assert found.epoch.tolist() == [[12], [14]]
    # That of epoch 6 is no fall that the network kept has seen.
    assert np.argwhere(found.reductions).tolist() == [[0, 5], [0, 7]]
    # Where an epoch has more steps two may come together.
    found = retrain_until(selected([[6], [7]], losses), (1, 3), 14, Plateau(1, 0.1))
    assert found.reductions[0].tolist()[:3] == [2, 0, 0]


def test_known_falls_are_taken_and_the_loss_is_not_watched():
    config = recipe()
    config.train.select = "last"
    trainer, labels = tiny.trainer(config, seeds=2)
    chosen = tiny.last(trainer, labels, [0, 1])
    falling = Plateau(**config.train.all.plateau)
    known = retrain_until(chosen.finished["all"], (1, 1), 6, falling)
    assert known.reductions.sum() > 0
    # Labels of other validation utterances: what is watched would fall at other epochs.
    other = labels | {"valid": np.where(labels["valid"] >= 0, 0, labels["valid"])}
    again = tiny.last(trainer, other, [0, 1], stop_at={"all": known})
    jax.tree.map(np.testing.assert_array_equal, again.state.best, chosen.state.best)
    free = no_stop(2, 1, 6)._replace(epoch=known.epoch)
    watched = tiny.last(trainer, other, [0, 1], stop_at={"all": free})
    assert not np.array_equal(watched.state.lr_scale, again.state.lr_scale)

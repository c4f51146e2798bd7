"""What training again is to come to: as many steps, and rates that fall where they fell."""

import jax
import numpy as np

from mman_jax.training import goal
from mman_jax.training.outcome import Outcome
from mman_jax.training.plateau import Plateau
from mman_jax.training.state import Record
from tests import tiny
from tests.training.test_plateau import recipe


def outcome(best, losses):
    history = Record(*[np.float32(losses)[:, :, None]] * 5)
    return Outcome(np.array(best), *[None] * 5, history)


def test_epochs_are_those_of_as_many_steps():
    found = goal.again(outcome([[1, 10, 30]], [[0.0]]), (4, 5), 20)
    # 4 steps, 40 and 120: no fewer than one epoch, no more than there may be.
    assert found.epoch.tolist() == [[1, 8, 20]]
    assert (found.falls == -1).all()


def test_rates_fall_at_the_steps_at_which_they_fell():
    # Of the first seed after epochs 3, 4 and 6, of the second never; an epoch has half the steps.
    losses = np.transpose([[4, 3, 3, 5, 2, 2, 9], [7, 6, 5, 4, 3, 2, 1]])
    found = goal.again(outcome([[6], [7]], losses), (6, 3), 14, Plateau(1, 0.1))
    assert found.epoch.tolist() == [[12], [14]]
    # That of epoch 6 is no fall that the network kept has seen.
    assert np.argwhere(found.falls).tolist() == [[0, 5], [0, 7]]
    # Where an epoch has more steps two may come together.
    found = goal.again(outcome([[6], [7]], losses), (1, 3), 14, Plateau(1, 0.1))
    assert found.falls[0].tolist()[:3] == [2, 0, 0]


def test_known_falls_are_taken_and_the_loss_is_not_watched():
    config = recipe()
    config.train.select = "last"
    trainer, labels = tiny.trainer(config, seeds=2)
    chosen = tiny.last(trainer, labels, [0, 1])
    falling = Plateau(**config.train.all.plateau)
    known = goal.again(chosen.finished["all"], (1, 1), 6, falling)
    assert known.falls.sum() > 0
    # Labels of other validation utterances: what is watched would fall at other epochs.
    other = labels | {"valid": np.where(labels["valid"] >= 0, 0, labels["valid"])}
    again = tiny.last(trainer, other, [0, 1], goals={"all": known})
    jax.tree.map(np.testing.assert_array_equal, again.state.best, chosen.state.best)
    free = goal.unknown(2, 1, 6)._replace(epoch=known.epoch)
    watched = tiny.last(trainer, other, [0, 1], goals={"all": free})
    assert not np.array_equal(watched.state.pace, again.state.pace)

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import mfm, mult
from mman_jax.errors import InputError
from mman_jax.training import packing, plateau
from mman_jax.training.plateau import Plateau
from mman_jax.trial import settings
from mman_jax.trial.config import derive
from tests import tiny


def paces(losses, patience):
    """The pace of each epoch's steps, and last the next one's."""
    lowest, found = plateau.start(1), [1.0]
    for epoch, loss in enumerate(losses, 1):
        lowest = plateau.note(lowest, epoch, jnp.float32([loss]))
        found.append(float(plateau.fall(found[-1], Plateau(patience, 0.5), lowest, epoch)))
    # The same from all losses together.
    fell = plateau.falls(np.float32(losses)[:, None], Plateau(patience, 0.5))[:, 0]
    np.testing.assert_array_equal(np.cumprod(np.where(fell, 0.5, 1)), found[1:])
    return found


def test_rates_fall_where_the_loss_does_not():
    assert paces([3, 2, 1, 0], 2) == [1] * 5
    # Two epochs without a lower loss, and two more; an equal loss is not lower.
    assert paces([3, 3, 4, 5, 3, 9], 2) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    # A lower loss begins the count again.
    assert paces([3, 4, 2, 5, 5], 2) == [1, 1, 1, 1, 1, 0.5]
    assert paces([np.nan, np.nan], 2) == [1, 1, 0.5]


def recipe():
    config = derive(tiny.recipe(epochs=6), "tripathi")
    config.network.update(units=4, dropout=0.2)
    config.train.all.learning_rate.default = 0.1  # the loss soon rises
    config.train.all.plateau = {"patience": 1, "factor": 0.25}
    return config


def test_going_on_from_a_checkpoint_is_the_same_with_rates_that_have_fallen():
    trainer, labels = tiny.trainer(recipe(), seeds=2)
    kept = tiny.kept(trainer.run(labels, [0, 1]))
    found = np.array([snapshot.state.pace for snapshot in kept[:-1]])
    losses = kept[-1].history.valid_loss[:, :, 0]
    expected, pace, lowest = [], np.ones(2), np.full(2, np.inf)
    for loss in losses:
        pace = pace * np.where(loss < lowest, 1, 0.25)
        expected.append(pace)
        lowest = np.minimum(lowest, loss)
    np.testing.assert_allclose(found, expected)
    fallen = int((found < 1).any(1).argmax())
    assert 0 < fallen < len(losses) - 2
    middle = packing.unpack(*packing.pack(kept[fallen]), trainer)
    end = tiny.last(trainer, labels, [0, 1], middle)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)
    chex.assert_trees_all_equal(end.finished, kept[-1].finished)


def test_as_the_authors_had_it():
    for module, patience in ((mult, 20), (mfm, 10)):
        config = module.get_config()
        assert config.train.all.plateau.to_dict() == {"patience": patience, "factor": 0.1}


@pytest.mark.parametrize(
    ("change", "said"), [({"patience": 0}, "plateau.patience: 0"), ({"factor": 1.5}, "1.5")]
)
def test_numbers_that_cannot_be_are_refused(change, said):
    config = recipe()
    config.train.all.plateau.update(change)
    with pytest.raises(InputError, match=said):
        settings.check_numbers(config)


def test_heads_with_losses_of_their_own_have_no_common_plateau():
    config = tiny.recipe()
    config.train.towers.plateau = {"patience": 1, "factor": 0.1}
    with pytest.raises(InputError, match="plateau: given for 3 heads"):
        tiny.trainer(config)[0].stage("towers")

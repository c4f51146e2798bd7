import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.training import optimizer
from mman_jax.training import state as outcome
from mman_jax.training.optimizer import Plateau
from mman_jax.training.state import Outcome, Record, Selection, State, no_stop, retrain_until
from tests import tiny
from tests.training.test_optimizer import recipe

SEEDS, CLASSES = 2, 3


def record(epochs, heads, start=1.0):
    """A history [E, S, T] whose numbers are all different and none of them zero."""
    values = start + np.arange(epochs * SEEDS * heads, dtype=np.float32)
    values = values.reshape(epochs, SEEDS, heads)
    return Record(*(values + 1000 * i for i in range(4)), np.ones(values.shape, bool), values)


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
    history = Record(*[np.float32(losses)[:, :, None]] * 6)
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


HEADS = {"fusion": 0}


def begin(target=0):
    counts, one = jnp.zeros((1, 2, 2), jnp.int32), jnp.zeros(1)
    params = {"fusion": np.float32(0)}
    return State(
        seed=0, lr_scale=1.0, epoch=np.int32(0), params=params, opt_state=(), average=(),
        target=jnp.int32([target]), best=params, best_epoch=jnp.int32([0]),
        best_score=jnp.float32([-np.inf]), smoothed=one, stopped=jnp.array([False]),
        failed=jnp.zeros((1, 2), jnp.int32), failed_norm=one, valid=counts, test=counts,
        oracle=jnp.float32([-np.inf]),
    )  # fmt: skip


def script(selection, accuracies, losses, tests=None, target=0, calibrated=None):
    """Feeds scripted validation scores to the selection, as if epochs had given them."""
    state = begin(target)
    for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), 1):
        right = round(100 * accuracy)
        counts = jnp.int32([[[right, 100 - right], [0, 0]]])
        test = tests[epoch - 1] if tests else 0.5
        record = Record(*(jnp.float32([x]) for x in (0, loss, accuracy, test, 1, 0)))
        low = jnp.float32([calibrated[epoch - 1]]) if calibrated else record.valid_loss
        params = {"fusion": np.float32(epoch)}
        state = state._replace(epoch=np.int32(epoch), params=params)
        scores = selection.score(record, counts, low)
        state = selection.keep_best(
            state, params, scores, record.test_accuracy, counts, counts, HEADS
        )
    return state


def test_patience_stops_and_later_luck_changes_nothing():
    accuracies = [0.5, 0.6, 0.55, 0.58, 0.9]
    state = script(Selection("accuracy", 2), accuracies, [1.0] * 5, [0.1, 0.3, 0.4, 0.2, 0.99])
    assert int(state.best_epoch[0]) == 2
    assert bool(state.stopped[0])
    assert state.best["fusion"] == 2
    assert state.valid[0, 0, 0] == 60
    np.testing.assert_allclose(state.oracle, 0.4)  # of the epochs until it stopped


def test_the_highest_test_score_may_be_below_zero():
    # As a concordance may be; what comes after the head has stopped does not count.
    state = script(Selection("loss", 1), [0.5] * 3, [0.8, 0.9, 0.7], [-0.4, -0.1, 0.9])
    assert bool(state.stopped[0])
    np.testing.assert_allclose(state.oracle, -0.1)


@pytest.mark.parametrize(
    ("by", "accuracies", "losses", "calibrated", "best"),
    [
        ("accuracy", [0.5, 0.5, 0.5], [1.0, 0.8, 0.9], None, 2),  # of equal ones, the lower loss
        ("accuracy", [0.5, 0.5], [0.8, 0.8], None, 1),  # of equal losses, the first epoch
        ("accuracy", [0.51, 0.50], [1e6, 0.0], None, 1),  # no loss outweighs one utterance
        ("loss", [0.9, 0.1], [1.0, 0.5], None, 2),
        ("loss", [0.1, 0.9], [0.5, 0.5], None, 1),
        # Over-confidence raises the loss; divided by a temperature it still falls.
        ("calibrated", [0.5, 0.6], [0.7, 0.9], [0.7, 0.6], 2),
    ],
)
def test_the_best_epoch_by_each_criterion(by, accuracies, losses, calibrated, best):
    rule = Selection(by, 9)
    assert int(script(rule, accuracies, losses, calibrated=calibrated).best_epoch[0]) == best
    assert rule.temperatures[0] == 1
    assert (len(set(rule.temperatures)) > 5) == (by == "calibrated")


def test_selection_by_recall_weighs_classes_alike():
    counts = [jnp.int32([[[90, 0], [10, 0]]]), jnp.int32([[[60, 30], [3, 7]]])]
    scores = []
    for valid in counts:
        right = float(valid[0].diagonal().sum()) / 100
        record = Record(*(jnp.float32([x]) for x in (0, 1.0, right, 0, 1, 0)))
        scores.append(Selection("recall", 9).score(record, valid, record.valid_loss))
    assert scores[0] < scores[1]  # 0.5 against 0.68, though 90 are right against 67


def test_smoothing_is_a_running_mean():
    # Means 1, 0.9, 0.85 against a lucky third epoch: 1, 0.9, 0.7 would keep it.
    rule = Selection("loss", 9, smoothing=0.5)
    state = script(rule, [0.5] * 3, [1.0, 0.2, 0.9])
    np.testing.assert_allclose(state.smoothed, -((1.0 + 0.2) / 2 + 0.9) / 2, rtol=1e-6)
    assert int(state.best_epoch[0]) == 2


@pytest.mark.parametrize("by", ["loss", "accuracy"])
def test_a_target_is_kept_whatever_its_score(by):
    state = script(Selection(by, 1), [0.9, 0.1, 0.2, 0.9], [0.1, 0.9, 0.8, 0.1], target=3)
    assert int(state.best_epoch[0]) == 3
    assert state.best["fusion"] == 3
    assert bool(state.stopped[0])
    assert not script(Selection(by, 1), [0.9, 0.1], [0.1, 0.9], target=3).stopped[0]


def test_the_last_epoch_is_kept_and_the_loss_stops():
    rule = Selection("last", 2)
    losses = [0.9, 0.5, 0.6, 0.7, 0.1]
    state = begin()._replace(lowest=optimizer.start_lowest(1))
    for epoch, loss in enumerate(losses, 1):
        counts = jnp.int32([[[epoch, 9]]])
        record = Record(*(jnp.float32([x]) for x in (0, loss, 0.5, 0.5, 1, 0)))
        params = {"fusion": np.float32(epoch)}
        lowest = optimizer.update_lowest(state.lowest, epoch, record.valid_loss)
        state = state._replace(epoch=np.int32(epoch), params=params, lowest=lowest)
        scores = rule.score(record, counts, record.valid_loss)
        state = rule.keep_best(state, params, scores, record.test_accuracy, counts, counts, HEADS)
    assert int(state.best_epoch[0]) == 4  # two after the lowest loss; the fifth comes too late
    assert state.best["fusion"] == 4
    assert int(state.valid[0, 0, 0]) == 4
    assert bool(state.stopped[0])

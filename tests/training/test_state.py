import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.training import optimizer
from mman_jax.training.state import Record, Selection, State

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
        record = Record(*(jnp.float32([x]) for x in (0, loss, accuracy, test, 1)))
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


def test_of_equal_accuracies_the_lower_loss_is_kept():
    rule = Selection("accuracy", 9)
    assert int(script(rule, [0.5, 0.5, 0.5], [1.0, 0.8, 0.9]).best_epoch[0]) == 2
    # ... of equal losses too, the first ...
    assert int(script(rule, [0.5, 0.5], [0.8, 0.8]).best_epoch[0]) == 1
    # ... and no loss outweighs one utterance.
    assert int(script(rule, [0.51, 0.50], [1e6, 0.0]).best_epoch[0]) == 1


def test_selection_by_loss():
    rule = Selection("loss", 9)
    assert int(script(rule, [0.9, 0.1], [1.0, 0.5]).best_epoch[0]) == 2
    assert int(script(rule, [0.1, 0.9], [0.5, 0.5]).best_epoch[0]) == 1


def test_selection_by_the_calibrated_loss():
    # Over-confidence raises the loss; divided by a temperature it still falls.
    rule = Selection("calibrated", 9)
    assert rule.temperatures[0] == 1
    assert len(set(rule.temperatures)) > 5
    state = script(rule, [0.5, 0.6], [0.7, 0.9], calibrated=[0.7, 0.6])
    assert int(state.best_epoch[0]) == 2


def test_selection_by_recall_weighs_classes_alike():
    counts = [jnp.int32([[[90, 0], [10, 0]]]), jnp.int32([[[60, 30], [3, 7]]])]
    scores = []
    for valid in counts:
        right = float(valid[0].diagonal().sum()) / 100
        record = Record(*(jnp.float32([x]) for x in (0, 1.0, right, 0, 1)))
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
        record = Record(*(jnp.float32([x]) for x in (0, loss, 0.5, 0.5, 1)))
        params = {"fusion": np.float32(epoch)}
        lowest = optimizer.update_lowest(state.lowest, epoch, record.valid_loss)
        state = state._replace(epoch=np.int32(epoch), params=params, lowest=lowest)
        scores = rule.score(record, counts, record.valid_loss)
        state = rule.keep_best(state, params, scores, record.test_accuracy, counts, counts, HEADS)
    assert int(state.best_epoch[0]) == 4  # two after the lowest loss; the fifth comes too late
    assert state.best["fusion"] == 4
    assert int(state.valid[0, 0, 0]) == 4
    assert bool(state.stopped[0])

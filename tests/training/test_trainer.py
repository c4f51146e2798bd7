import functools
import threading

import chex
import jax
import numpy as np
import pytest
from jax import monitoring

from mman_jax.data.cells import Utterances
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.splits import split
from mman_jax.errors import InputError
from mman_jax.tasks import metrics
from mman_jax.training import programs
from mman_jax.training import state as outcomes
from mman_jax.training.optimizer import FROZEN
from mman_jax.training.rows import batch_rows, in_batches
from mman_jax.types import Inputs
from tests import tiny


def recipe():
    """Three epochs of the towers, and twenty of the fusion, ten per call."""
    config = tiny.dense(dropout=0.3, epochs=20)
    config.train.towers.epochs = 3
    return config


@pytest.fixture(scope="module")
def trained():
    """A trainer, labels, and all snapshots of two seeds trained with dropout."""
    trainer, labels = tiny.trainer(recipe(), seeds=2)
    return trainer, labels, tiny.kept(trainer.run(labels, [3, 4]))


def last_of_towers(snapshots):
    return [s for s in snapshots if s.stage == "towers"][-1]


def test_seeds_differ_and_each_is_the_same_alone(trained):
    trainer, labels, snapshots = trained
    losses = snapshots[0].history.train_loss
    assert not np.allclose(losses[0, 0], losses[0, 1])
    again = next(iter(trainer.run(labels, [3, 4])))
    np.testing.assert_array_equal(again.history.train_loss, losses)
    alone, _ = tiny.trainer(recipe())
    actual, expected = (
        jax.tree.map(lambda x, i=i: x[i], s.state)
        for s, i in ((tiny.last(alone, labels, [4]), 0), (snapshots[-1], 1))
    )
    chex.assert_trees_all_close(actual, expected, atol=1e-6)


def test_parameters_outside_a_stage_stay_bit_equal(trained):
    trainer, _, snapshots = trained
    init = functools.partial(programs.initial, trainer.system, trainer.sizes)
    initial = jax.jit(jax.vmap(init))(np.asarray([3, 4], np.uint32))
    towers = last_of_towers(snapshots).state
    chex.assert_trees_all_equal(towers.params["fusion"], initial["fusion"])
    fusion = [s.state for s in snapshots if s.stage == "fusion"]
    assert len(fusion) > 2
    for state in fusion:
        for name in towers.best.keys() - {"fusion"}:
            chex.assert_trees_all_equal(state.params[name], towers.best[name])
            chex.assert_trees_all_equal(state.best[name], towers.best[name])
    first, then = (state.params["fusion"]["kernel"] for state in fusion[:2])
    assert not np.allclose(first, then)


def test_a_tower_trains_as_if_alone():
    # Losses, clipping and selection of towers are independent: a tower equals the same tower in a
    # network of its own, given the same parameters and order.
    config, seed = tiny.dense(), np.zeros(1, np.uint32)
    trainer, labels = tiny.trainer(config)
    together = tiny.last(trainer, labels, [0])
    alone, _ = tiny.trainer(config, prepare(tiny.corpus().select_modalities(["text"])))
    initial, params = (
        jax.vmap(functools.partial(programs.initial, made.system, made.sizes))(seed)
        for made in (trainer, alone)
    )
    state = alone.start("towers", [0], params | {"towers_text": initial["towers_text"]})
    _, epoch, _ = alone.compile("towers")
    for _ in range(3):
        state, record = epoch(state, {}, labels)
    towers = together.finished["towers"]
    np.testing.assert_allclose(
        record.train_loss[0, 0], towers.history.train_loss[-1, 0, 1], atol=1e-5
    )
    np.testing.assert_array_equal(state.test[0, 0], towers.test[0, 1])


def test_training_resumes_from_any_epoch_to_the_same_end(trained):
    trainer, labels, snapshots = trained
    for middle in snapshots[1:4]:  # within the towers, at their end, within the fusion
        end = tiny.last(trainer, labels, [3, 4], middle)
        chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), snapshots[-1].state)
        chex.assert_trees_all_equal(end.finished, snapshots[-1].finished)


def test_the_best_epoch_is_selected_on_the_validation_part(trained):
    for outcome in trained[2][-1].finished.values():
        valid = outcome.history.valid_accuracy  # [E, S, T]
        best = np.take_along_axis(valid, outcome.best_epoch[None] - 1, axis=0)[0]
        np.testing.assert_allclose(best, valid.max(0), atol=1e-6)
        test = np.take_along_axis(outcome.history.test_accuracy, outcome.best_epoch[None] - 1, 0)[0]
        counted = outcome.test.trace(axis1=-2, axis2=-1) / outcome.test.sum((-2, -1))
        np.testing.assert_allclose(counted, test, atol=1e-6)
        np.testing.assert_allclose(outcome.oracle, outcome.history.test_accuracy.max(0), atol=1e-6)


def test_towers_trained_elsewhere_are_joined_as_if_trained_here(trained):
    trainer, labels, snapshots = trained
    best = last_of_towers(snapshots).state.best
    both = snapshots[-1].finished["towers"]
    towers = [
        both._replace(
            **{f: getattr(both, f)[:, i : i + 1] for f in both._fields if f != "history"},
            history=jax.tree.map(lambda x, i=i: x[:, :, i : i + 1], both.history),
        )
        for i in range(len(trainer.heads("towers")))
    ]
    params = {name: x for name, x in best.items() if name.startswith("towers_")}
    joined = trainer.before("fusion", params, {"towers": outcomes.join(towers)}, [3, 4])
    assert (joined.stage, len(joined.history.train_loss)) == ("fusion", 0)
    chex.assert_trees_all_equal(joined.finished, {"towers": both})
    end = tiny.last(trainer, labels, [3, 4], joined)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), snapshots[-1].state)


def test_predictions_are_those_of_the_network(trained):
    trainer, labels, snapshots = trained
    params = snapshots[-1].state.best
    by_head = trainer.answers(params)
    assert list(by_head) == ["speech", "text", "fusion"]
    answers = by_head["fusion"]

    @jax.jit
    def apply(params, features, reset):
        return jax.vmap(
            lambda p: trainer.system.apply({"params": p}, Inputs.unpadded(features, reset))[0]
        )(params)

    for part in ("valid", "test"):
        rows = trainer._host_rows[part]
        features = {m: np.asarray(x) for m, x in rows.features.items()}
        for head, expected in apply(params, features, rows.reset).items():
            logits = by_head[head][part]
            assert logits.shape == expected.shape
            np.testing.assert_allclose(
                logits[:, rows.mask], np.asarray(expected)[:, rows.mask], atol=1e-5, err_msg=head
            )
    assert not answers["valid"][:, -1].any()
    counts = [metrics.confusion(x, labels["test"]) for x in answers["test"]]
    np.testing.assert_array_equal(counts, snapshots[-1].finished["fusion"].test[:, 0])


def test_an_epoch_has_every_row_once_in_batches_of_equal_size():
    orders = [in_batches(jax.random.permutation(jax.random.key(s), 10), 4, 10) for s in range(2)]
    for order in orders:
        assert order.shape == (3, 4)
        assert sorted(np.asarray(order).ravel()) == [*range(10), 10, 10]
    assert not np.array_equal(*orders)
    # IEMOCAP: 120 conversations in 54 rows, 30 to a batch: four batches of 14 rows.
    assert batch_rows(rows=54, conversations=120, batch=30) == 14
    assert batch_rows(rows=3, conversations=5, batch=30) == 3


def test_the_rules_decide_what_a_stage_trains():
    config = tiny.dense(epochs=2)
    config.train.fusion.rules = ((".*", True),)
    trainer, labels = tiny.trainer(config)
    snapshots = tiny.kept(trainer.run(labels, [0]))
    before = last_of_towers(snapshots).state.best["towers_text"]
    after = snapshots[-1].state.params["towers_text"]
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
    assert all(jax.tree.leaves(moved))
    config.train.towers.rules = (("towers_.*", True),)
    with pytest.raises(InputError, match="no rule covers fusion/"):
        tiny.trainer(config)[0].stage("towers")


def test_class_weights_change_the_loss():
    losses = []
    for weighted in (False, True):
        config = tiny.dense()
        config.train.class_weights = weighted
        trainer, labels = tiny.trainer(config)
        losses.append(next(iter(trainer.run(labels, [0]))).history.train_loss)
    assert not np.allclose(*losses)


def test_frozen_groups_have_no_moments():
    trainer, _ = tiny.trainer(tiny.dense())
    groups = trainer.stage("fusion").groups
    assert set(jax.tree.leaves(groups)) == {"fusion", FROZEN}
    sizes = [x.size for x in jax.tree.leaves(trainer.template("fusion", 1).opt_state)]
    fusion = sum(x.size for x in jax.tree.leaves(trainer.shapes["fusion"]))
    assert sum(sizes) == 2 * fusion + 1  # two moments, one count


def test_rows_are_replaced_by_others_of_equal_shapes():
    corpus = tiny.corpus()
    full = split(corpus)
    other = type(full)(full.train[1:], full.valid, full.test, "without the first")
    shapes = common_shapes(corpus, [full, other], Utterances(corpus))
    first, second = (prepare(corpus, x, shapes) for x in (full, other))
    trainer, labels = tiny.trainer(tiny.dense(), first)
    cells = [int(np.asarray(part.rows["train"].mask).sum()) for part in (first, second)]
    assert cells[0] > cells[1]
    trainer.put(second.rows)
    placed = trainer._feed.labelled(labels)["train"]
    assert int(np.asarray(placed.mask).sum()) == cells[1]
    for name, x in placed.features.items():
        np.testing.assert_array_equal(x, np.asarray(second.rows["train"].features[name]))
    with pytest.raises(AssertionError):
        trainer.put(prepare(tiny.corpus((4, 3, 4))).rows)


def test_the_first_epoch_runs_the_program_that_was_compiled_ahead():
    # A learning rate that no other test has: nothing of this is compiled yet.
    config = tiny.dense()
    config.train.towers.learning_rate.default = 0.001953125
    trainer, labels = tiny.trainer(config)
    compiled = []

    def listen(event, seconds, **about):
        if event.endswith("backend_compile_duration") and about["fun_name"] == "jit(epochs)":
            compiled.append(threading.current_thread() is threading.main_thread())

    monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(next(iter(trainer.run(labels, [3]))).state.params)
    finally:
        monitoring.unregister_event_duration_listener(listen)
    assert compiled == [False]

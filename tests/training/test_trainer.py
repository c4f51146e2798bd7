import functools
import threading

import chex
import jax
import numpy as np
import pytest
from jax import monitoring

from mman_jax.data import parts as data_parts
from mman_jax.data.cells import Utterances
from mman_jax.data.parts import common_shapes, prepare
from mman_jax.data.splits import split
from mman_jax.errors import InputError
from mman_jax.tasks import metrics
from mman_jax.training import outcome as outcomes
from mman_jax.training import programs
from mman_jax.training.optimizer import FROZEN
from mman_jax.training.rows import batch_rows, in_batches
from mman_jax.types import Inputs
from tests import tiny


def recipe():
    """Three epochs of the towers, and twenty of the fusion, which takes ten of them a call."""
    config = tiny.dense(dropout=0.3, epochs=20)
    config.train.towers.epochs = 3
    return config


@pytest.fixture(scope="module")
def snapshots():
    """Two seeds, dropout and all, every snapshot copied to the host."""
    trainer, labels = tiny.trainer(recipe(), seeds=2)
    kept = tiny.kept(trainer.run(labels, [3, 4]))
    return trainer, labels, kept


def test_a_seed_alone_is_the_same_as_among_others(snapshots):
    _, labels, kept = snapshots
    alone, _ = tiny.trainer(recipe())
    snapshot = tiny.last(alone, labels, [4])

    expected = jax.tree.map(lambda x: x[1], kept[-1].state)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[0], snapshot.state), expected, atol=1e-6)


def test_seeds_differ_and_the_same_seed_repeats(snapshots):
    trainer, labels, kept = snapshots
    losses = kept[0].history.train_loss[0]
    assert not np.allclose(losses[0], losses[1])
    again = next(iter(trainer.run(labels, [3, 4])))
    np.testing.assert_array_equal(again.history.train_loss, kept[0].history.train_loss)


def test_towers_stay_bit_equal_while_the_fusion_trains(snapshots):
    _, _, kept = snapshots
    best_towers = [s for s in kept if s.stage == "towers"][-1].state.best
    fusion = [s for s in kept if s.stage == "fusion"]
    assert len(fusion) > 2
    for snapshot in fusion:
        for name in best_towers:
            if name.startswith("towers_"):
                chex.assert_trees_all_equal(snapshot.state.params[name], best_towers[name])
                chex.assert_trees_all_equal(snapshot.state.best[name], best_towers[name])
    first, then = fusion[0].state.params["fusion"], fusion[1].state.params["fusion"]
    assert not np.allclose(first["kernel"], then["kernel"])


def test_the_fusion_is_untouched_while_the_towers_train(snapshots):
    trainer, _, kept = snapshots
    init = functools.partial(programs.initial, trainer.system, trainer.sizes)
    before = jax.jit(jax.vmap(init))(np.asarray([3, 4], np.uint32))["fusion"]
    last_towers = [s for s in kept if s.stage == "towers"][-1]
    chex.assert_trees_all_equal(last_towers.state.params["fusion"], before)


def test_towers_train_as_if_alone(snapshots):
    # Their losses, clipping and selection are independent: a tower of the whole system equals the
    # same tower in a network of its own, given the same parameters and order.
    config, seed = tiny.dense(), np.zeros(1, np.uint32)
    trainer, labels = tiny.trainer(config)
    together = tiny.last(trainer, labels, [0])
    parts = data_parts.prepare(tiny.corpus().select_modalities(["text"]))
    alone, _ = tiny.trainer(config, parts)
    whole, params = (
        jax.vmap(functools.partial(programs.initial, made.system, made.sizes))(seed)
        for made in (trainer, alone)
    )
    params |= {"towers_text": whole["towers_text"]}
    state = alone.start("towers", [0], params)
    _, epoch, _ = alone.compile("towers")
    for _ in range(3):
        state, record = epoch(state, {}, labels)
    towers = together.finished["towers"]
    np.testing.assert_allclose(
        record.train_loss[0, 0], towers.history.train_loss[-1, 0, 1], atol=1e-5
    )
    np.testing.assert_array_equal(state.test[0, 0], towers.test[0, 1])


def test_going_on_from_any_epoch_gives_the_same_end(snapshots):
    trainer, labels, kept = snapshots
    for middle in (kept[1], kept[2], kept[3]):  # within towers, at their end, within the fusion
        end = tiny.last(trainer, labels, [3, 4], middle)
        chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)
        chex.assert_trees_all_equal(end.finished, kept[-1].finished)


def test_the_best_epoch_is_validation_s_not_the_test_set_s(snapshots):
    _, _, kept = snapshots
    for outcome in kept[-1].finished.values():
        valid = outcome.history.valid_accuracy  # [E, S, T]
        chosen = np.take_along_axis(valid, outcome.best_epoch[None] - 1, axis=0)[0]
        np.testing.assert_allclose(chosen, valid.max(0), atol=1e-6)
        test = np.take_along_axis(outcome.history.test_accuracy, outcome.best_epoch[None] - 1, 0)[0]
        counted = outcome.test.trace(axis1=-2, axis2=-1) / outcome.test.sum((-2, -1))
        np.testing.assert_allclose(counted, test, atol=1e-6)
        np.testing.assert_allclose(outcome.oracle, outcome.history.test_accuracy.max(0), atol=1e-6)


def test_towers_that_were_trained_elsewhere_are_joined_as_if_trained_here(snapshots):
    trainer, labels, kept = snapshots
    best = [s for s in kept if s.stage == "towers"][-1].state.best
    whole = kept[-1].finished["towers"]
    towers = {
        name: whole._replace(
            **{f: getattr(whole, f)[:, i : i + 1] for f in whole._fields if f != "history"},
            history=jax.tree.map(lambda x, i=i: x[:, :, i : i + 1], whole.history),
        )
        for i, name in enumerate(trainer.system.modalities)
    }
    params = {name: x for name, x in best.items() if name.startswith("towers_")}
    joined = outcomes.join([towers[head] for head in trainer.heads("towers")])
    joined = trainer.before("fusion", params, {"towers": joined}, [3, 4])
    assert (joined.stage, len(joined.history.train_loss)) == ("fusion", 0)
    chex.assert_trees_all_equal(joined.finished, {"towers": whole})
    end = tiny.last(trainer, labels, [3, 4], joined)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)


def test_answers_are_the_network_s_own(snapshots):
    trainer, labels, kept = snapshots
    params = kept[-1].state.best
    answers = trainer.answers(params)

    @jax.jit
    def answer(params, features, reset):
        return jax.vmap(
            lambda p: trainer.system.apply({"params": p}, Inputs.unpadded(features, reset))[0]
        )(params)

    for part in ("valid", "test"):
        rows = trainer._host_rows[part]
        features = {m: np.asarray(x) for m, x in rows.features.items()}
        expected = answer(params, features, rows.reset)
        assert answers[part].keys() == {"speech", "text", "fusion"}
        for head, logits in answers[part].items():
            assert logits.shape == expected[head].shape
            np.testing.assert_allclose(
                logits[:, rows.mask], expected[head][:, rows.mask], atol=1e-5, err_msg=head
            )
    assert not answers["valid"]["fusion"][:, -1].any()
    counts = [metrics.confusion(x, labels["test"]) for x in answers["test"]["fusion"]]
    np.testing.assert_array_equal(counts, kept[-1].finished["fusion"].test[:, 0])


def test_every_row_is_trained_on_once_an_epoch_in_an_order_of_the_seed_s_own():
    orders = [in_batches(jax.random.permutation(jax.random.key(s), 10), 4, 10) for s in range(2)]
    for order in orders:
        assert order.shape == (3, 4)
        assert sorted(np.asarray(order).ravel()) == [*range(10), 10, 10]
    assert not np.array_equal(*orders)


def test_batches_of_an_epoch_are_alike():
    # IEMOCAP: 120 conversations in 54 rows, 30 to a batch: four batches of 14 rows.
    assert batch_rows(rows=54, conversations=120, batch=30) == 14
    assert batch_rows(rows=3, conversations=5, batch=30) == 3


def test_joint_fine_tuning_moves_the_towers():
    config = tiny.dense(epochs=2)
    config.train.fusion.rules = ((".*", True),)
    trainer, labels = tiny.trainer(config)
    kept = tiny.kept(trainer.run(labels, [0]))
    before = [s for s in kept if s.stage == "towers"][-1].state.best["towers_text"]
    after = kept[-1].state.params["towers_text"]
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
    assert all(jax.tree.leaves(moved))


def test_a_rule_that_covers_nothing_is_an_error():
    config = tiny.dense()
    config.train.towers.rules = (("towers_.*", True),)
    trainer, _ = tiny.trainer(config)
    with pytest.raises(InputError, match="no rule covers fusion/"):
        trainer.stage("towers")


def test_class_weights_change_the_training():
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


def test_rows_of_other_shapes_are_not_put_in_place():
    corpus = tiny.corpus()
    made, _ = tiny.trainer(tiny.dense(), prepare(corpus))
    with pytest.raises(AssertionError):
        made.put(prepare(tiny.corpus((4, 3, 4))).rows)


def test_rows_that_are_put_in_place_are_those_that_are_read():
    corpus = tiny.corpus()
    whole = split(corpus)
    other = type(whole)(whole.train[1:], whole.valid, whole.test, "without the first")
    shapes = common_shapes(corpus, [whole, other], Utterances(corpus))
    first, second = (prepare(corpus, x, shapes) for x in (whole, other))
    made, labels = tiny.trainer(tiny.dense(), first)
    cells = [int(np.asarray(part.rows["train"].mask).sum()) for part in (first, second)]
    assert cells[0] > cells[1]
    made.put(second.rows)
    placed = made._feed.labelled(labels)["train"]
    assert int(np.asarray(placed.mask).sum()) == cells[1]
    for name, x in placed.features.items():
        np.testing.assert_array_equal(x, np.asarray(second.rows["train"].features[name]))


def test_the_first_epoch_runs_what_was_compiled_ahead():
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

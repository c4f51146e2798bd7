import chex
import jax
import numpy as np
import pytest

from mman_jax.data.parts import prepare
from mman_jax.errors import InputError
from mman_jax.training import mesh as parallel
from mman_jax.training.feeding import Streamed
from mman_jax.training.trainer import Trainer
from tests import tiny


def streamed(trainer, mesh, parts=None):
    """A trainer like another one, but that its rows are streamed."""
    rows = parts or trainer._host_rows
    return Trainer(trainer.system, trainer.settings, rows, trainer.classes, mesh, stream=True)


def run(trainer, labels, seeds):
    snapshot = tiny.last(trainer, labels, seeds)
    return jax.tree.map(np.array, snapshot.state), snapshot.finished


def test_with_one_batch_an_epoch_streamed_rows_give_what_resident_rows_give():
    # Then the order of the rows, the one thing that differs, does not matter.
    config = tiny.dense()
    config.train.batch = 1000
    trainer, labels = tiny.trainer(config, seeds=2)
    expected, finished = run(trainer, labels, [0, 1])
    assert not trainer.streamed
    reader = streamed(trainer, trainer.mesh)
    assert reader.streamed
    state, other = run(reader, labels, [0, 1])
    chex.assert_trees_all_close(state, expected, atol=1e-5)
    chex.assert_trees_all_close(other, finished, atol=1e-5)


def test_a_streamed_seed_is_the_same_alone_and_after_any_epoch():
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3), seeds=2)
    reader = streamed(trainer, trainer.mesh)
    both, _ = run(reader, labels, [3, 4])
    snapshots = tiny.kept(reader.run(labels, [4]))
    chex.assert_trees_all_equal(tiny.seed(both.best, 1), snapshots[-1].state.best)
    for middle in (snapshots[1], snapshots[3]):
        end = tiny.last(reader, labels, [4], middle)
        chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), snapshots[-1].state)


def test_what_does_not_fit_is_streamed_and_pmap_cannot(monkeypatch):
    parts = prepare(tiny.corpus())
    monkeypatch.setattr(parallel, "fits", lambda size, mesh: False)
    made, _ = tiny.trainer(tiny.dense(), parts)
    assert isinstance(made._feed, Streamed)
    with pytest.raises(InputError, match="rows streamed"):
        tiny.trainer(tiny.dense(), parts, parallel_way="pmap")


def test_a_stopped_seed_is_left_as_it_is():
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3))
    _, epoch, _ = trainer.compile("towers")
    state = trainer.start("towers", [0])
    state = state._replace(stopped=np.ones_like(state.stopped))
    before = jax.tree.map(np.array, state)
    after, record = epoch(state, {}, labels)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, after.params), before.params)
    assert int(after.epoch[0]) == 1
    assert not record.training.any()

import chex
import jax
import numpy as np
import pytest

from mman_jax.data.parts import prepare
from mman_jax.errors import InputError
from mman_jax.training import mesh as parallel
from mman_jax.training.feeding import Resident, Streamed
from mman_jax.training.trainer import Trainer
from tests import tiny


class Rows:
    """Rows that tell which of them were asked for."""

    def __init__(self, rows):
        self.rows, self.asked = np.asarray(rows), []
        self.shape, self.nbytes = self.rows.shape, self.rows.nbytes

    def __getitem__(self, index):
        self.asked.append(index)
        return self.rows[index]


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


def test_streamed_predictions_are_the_resident_ones():
    trainer, _ = tiny.trainer(tiny.dense(), seeds=2)
    stage = trainer.stage("towers")
    params = jax.tree.map(np.asarray, trainer.start("towers", [0, 1]).params)
    expected = Resident(trainer._host_rows, trainer.mesh).predictions(stage)(params, {})
    for shards in ((1, 1), (2, 3)):
        mesh = parallel.make_mesh(2, "jit", *shards)
        found = Streamed(trainer._host_rows, mesh).predictions(stage)(params, {})
        for part, heads in expected.items():
            for head, logits in heads.items():
                # The empty last row is answered by one and left at zero by the other.
                np.testing.assert_allclose(found[part][head][:, :-1], logits[:, :-1], atol=1e-5)


def test_streamed_on_many_devices_equals_one():
    trainer, labels = tiny.trainer(tiny.dense(), seeds=2)
    expected, finished = run(streamed(trainer, trainer.mesh), labels, [0, 1])
    mesh = parallel.make_mesh(2, "jit", 2, 3)
    state, other = run(streamed(trainer, mesh), labels, [0, 1])
    chex.assert_trees_all_close(state.params, expected.params, atol=1e-4)
    chex.assert_trees_all_close(other, finished, atol=1e-4)


def test_a_seed_alone_is_what_it_is_among_others():
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3), seeds=2)
    both, _ = run(streamed(trainer, trainer.mesh), labels, [3, 4])
    alone, _ = run(streamed(trainer, trainer.mesh), labels, [4])
    chex.assert_trees_all_equal(
        jax.tree.map(lambda x: x[1], both.best), jax.tree.map(lambda x: x[0], alone.best)
    )


def test_an_epoch_reads_each_row_once_and_a_device_only_its_own():
    config = tiny.dense()
    config.train.batch = 2  # more batches than are read ahead
    trainer, labels = tiny.trainer(config)
    train = trainer._host_rows["train"]
    speech = Rows(train.features["speech"])
    rows = train._replace(features=train.features | {"speech": speech})
    mesh = parallel.make_mesh(1, "jit", 1, 2)
    feed = Streamed(trainer._host_rows | {"train": rows}, mesh)
    stage = trainer.stage("towers")
    half = -(-stage.batch_rows // 2)
    made = Trainer(trainer.system, trainer.settings, trainer._host_rows, 4, mesh)
    orders = []
    state = made.start("towers", [0])
    for epoch in range(2):
        speech.asked.clear()
        state, _ = feed.train(made.stage("towers"))(state, labels)
        assert {len(index) for index in speech.asked} == {half}
        orders.append(np.concatenate(speech.asked))
        count = len(train.mask) - 1
        assert sorted(i for i in orders[-1] if i != count) == list(range(count))
        state = state._replace(epoch=state.epoch + 1 + epoch)
    assert orders[0].tolist() != orders[1].tolist()


def test_streaming_goes_on_from_any_epoch():
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.3))
    made = streamed(trainer, trainer.mesh)
    kept = tiny.kept(made.run(labels, [5]))
    for middle in (kept[1], kept[3]):
        end = tiny.last(made, labels, [5], middle)
        chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)


def test_what_does_not_fit_is_streamed_and_pmap_cannot(monkeypatch):
    parts = prepare(tiny.corpus())
    monkeypatch.setattr(parallel, "fits", lambda size, mesh: False)
    made, _ = tiny.trainer(tiny.dense(), parts)
    assert isinstance(made._feed, Streamed)
    with pytest.raises(InputError, match="rows streamed"):
        tiny.trainer(tiny.dense(), parts, parallel_way="pmap", shards=(1, 2))


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


def test_what_streaming_cannot_do_is_refused():
    trainer, labels = tiny.trainer(tiny.dense())
    feed, stage = Streamed(trainer._host_rows, trainer.mesh), trainer.stage("towers")
    with pytest.raises(ValueError, match="2 epochs in a call; rows are streamed for one"):
        feed.epochs(stage, 2)
    own = {"train": {"speech": np.zeros(3)}}
    with pytest.raises(ValueError, match="features that differ by seed are resident: use Resident"):
        feed.epochs(stage)(None, own, labels)
    with pytest.raises(ValueError, match="features that differ by seed are resident: use Resident"):
        feed.predictions(stage)(None, own)

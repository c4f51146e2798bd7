"""Training on several devices; `test_mesh` runs this file in a process with eight of them."""

import chex
import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.training import mesh as parallel
from mman_jax.training import programs
from mman_jax.training.feeding import Resident, Streamed
from mman_jax.training.trainer import Trainer
from tests import tiny
from tests.training.test_feeding import run, streamed
from tests.training.test_stage import Pulled, trained


class Rows:
    """Rows that record which of them are read."""

    def __init__(self, rows):
        self.rows, self.asked = np.asarray(rows), []
        self.shape, self.nbytes = self.rows.shape, self.rows.nbytes

    def __getitem__(self, index):
        self.asked.append(index)
        return self.rows[index]


@pytest.mark.parametrize(("way", "shards"), [("jit", (2, 4)), ("pmap", (1, 8))], ids=str)
def test_eight_devices_equal_one(way, shards):
    def last(way, shards):
        trainer, labels = tiny.trainer(tiny.dense(), seeds=2, parallel_way=way, shards=shards)
        return tiny.last(trainer, labels, [0, 1])

    one, many = last("jit", (1, 1)), last(way, shards)
    chex.assert_trees_all_close(many.state.params, one.state.params, atol=1e-4)
    for stage, outcome in one.finished.items():
        np.testing.assert_array_equal(many.finished[stage].best_epoch, outcome.best_epoch)
        chex.assert_trees_all_close(many.finished[stage].history, outcome.history, atol=1e-4)
        np.testing.assert_array_equal(many.finished[stage].test, outcome.test)


def test_dropout_differs_between_row_shards():
    # Equal masks on all devices would drop the same units in every shard of the batch.
    trainer, labels = tiny.trainer(tiny.dense(dropout=0.5, epochs=1), shards=(1, 2))
    stage = trainer.stage("towers")
    mesh = parallel.make_mesh(1, "jit", 1, 2)
    twice = trainer._host_rows["train"]
    twice = jax.tree.map(lambda x: np.concatenate([x[:1], x[:1], x[-1:]]), twice)
    twice = twice._replace(
        labels=np.concatenate([labels["train"][:1]] * 2 + [labels["train"][-1:]])
    )

    def keyed(state, _, shared):
        key = jax.random.fold_in(state, jax.lax.axis_index("rows"))
        outputs = stage.outputs(shared["params"], shared["rows"], key)
        return jax.lax.all_gather(outputs[stage.heads[0]][0], "rows")

    params = jax.tree.map(lambda x: np.asarray(x)[0], trainer.start("towers", [0]).params)
    mapped = parallel.distribute(keyed, mesh, donate=False)
    first, second = mapped(
        jax.random.split(jax.random.key(0), 1), {}, {"params": params, "rows": twice}
    )[0]
    assert not np.allclose(first, second)


def test_a_loss_of_a_system_is_one_mean_over_all_devices():
    one, two = trained(Pulled).params["aim"], trained(Pulled, (1, 2)).params["aim"]
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_seeds_come_first_in_a_mesh():
    assert dict(parallel.make_mesh(4).shape) == {"seeds": 4, "rows": 2}
    assert dict(parallel.make_mesh(3).shape) == {"seeds": 1, "rows": 8}
    assert dict(parallel.make_mesh(16).shape) == {"seeds": 8, "rows": 1}
    assert dict(parallel.make_mesh(4, "pmap").shape) == {"seeds": 1, "rows": 8}
    assert dict(parallel.make_mesh(4, "jit", 2, 3).shape) == {"seeds": 2, "rows": 3}
    with pytest.raises(InputError, match="divisor of the 3 seeds"):
        parallel.make_mesh(3, "jit", 2, 1)
    with pytest.raises(InputError, match="at most 8"):
        parallel.make_mesh(2, "jit", 2, 8)


def test_another_mesh_is_another_program():
    trainer, _ = tiny.trainer(tiny.dense())
    stage = trainer.stage("towers")
    one = programs.epochs(stage, 1, trainer.mesh, "jit")
    assert programs.epochs(stage, 1, parallel.make_mesh(1, "jit", 1, 2), "jit") is not one


def test_processes_place_their_arrays_without_communication(monkeypatch):
    mesh = parallel.make_mesh(2, "jit", 2, 1)
    values = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    expected = parallel.place(values, mesh, by_seed=True)
    monkeypatch.setitem(vars(mesh), "is_multi_process", True)
    monkeypatch.setattr(jax, "device_put", None)
    found = parallel.place(values, mesh, by_seed=True)
    assert found.sharding == expected.sharding
    np.testing.assert_array_equal(found, values)


def test_streamed_predictions_on_many_devices_equal_resident_ones():
    trainer, _ = tiny.trainer(tiny.dense(), seeds=2)
    stage = trainer.stage("towers")
    params = jax.tree.map(np.asarray, trainer.start("towers", [0, 1]).params)
    expected = Resident(trainer._host_rows, trainer.mesh).predictions(stage)(params, {})
    mesh = parallel.make_mesh(2, "jit", 2, 3)
    found = Streamed(trainer._host_rows, mesh).predictions(stage)(params, {})
    for part, heads in expected.items():
        for head, logits in heads.items():
            # The empty last row is predicted by one of them and zero in the other.
            np.testing.assert_allclose(found[part][head][:, :-1], logits[:, :-1], atol=1e-5)


def test_streamed_training_on_many_devices_equals_one():
    trainer, labels = tiny.trainer(tiny.dense(), seeds=2)
    expected, finished = run(streamed(trainer, trainer.mesh), labels, [0, 1])
    mesh = parallel.make_mesh(2, "jit", 2, 3)
    state, other = run(streamed(trainer, mesh), labels, [0, 1])
    chex.assert_trees_all_close(state.params, expected.params, atol=1e-4)
    chex.assert_trees_all_close(other, finished, atol=1e-4)


def test_an_epoch_reads_each_row_once_and_a_device_only_its_own():
    config = tiny.dense()
    config.train.batch = 2  # more batches than are read ahead
    trainer, labels = tiny.trainer(config)
    train = trainer._host_rows["train"]
    speech = Rows(train.features["speech"])
    rows = train._replace(features=train.features | {"speech": speech})
    mesh = parallel.make_mesh(1, "jit", 1, 2)
    feed = Streamed(trainer._host_rows | {"train": rows}, mesh)
    half = -(-trainer.stage("towers").batch_rows // 2)
    other = Trainer(trainer.system, trainer.settings, trainer._host_rows, 4, mesh)
    state, orders = other.start("towers", [0]), []
    for epoch in range(2):
        speech.asked.clear()
        state, _ = feed.train(other.stage("towers"))(state, labels)
        assert {len(index) for index in speech.asked} == {half}
        orders.append(np.concatenate(speech.asked))
        count = len(train.mask) - 1
        assert sorted(i for i in orders[-1] if i != count) == list(range(count))
        state = state._replace(epoch=state.epoch + 1 + epoch)
    assert orders[0].tolist() != orders[1].tolist()

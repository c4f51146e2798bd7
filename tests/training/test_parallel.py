import chex
import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.training import parallel
from tests import tiny


def run(seeds, way, shards):
    trainer, labels = tiny.trainer(seeds=len(seeds), parallel_way=way, shards=shards)
    return tiny.last(trainer, labels, seeds)


@pytest.fixture(scope="module")
def one_device():
    return run([0, 1], "jit", (1, 1))


@pytest.mark.parametrize(
    ("way", "shards"), [("jit", (2, 4)), ("jit", (1, 8)), ("pmap", (1, 8))], ids=str
)
def test_eight_devices_equal_one(one_device, way, shards):
    many = run([0, 1], way, shards)

    chex.assert_trees_all_close(many.state.params, one_device.state.params, atol=1e-4)
    for stage, outcome in one_device.finished.items():
        np.testing.assert_array_equal(many.finished[stage].best_epoch, outcome.best_epoch)
        chex.assert_trees_all_close(many.finished[stage].history, outcome.history, atol=1e-4)
        np.testing.assert_array_equal(many.finished[stage].test, outcome.test)


def test_dropout_differs_between_row_shards():
    # Equal masks on all devices would drop the same units in every shard of the batch.
    trainer, labels = tiny.trainer(tiny.recipe(dropout=0.5, epochs=1), shards=(1, 2))
    stage = trainer.stage("towers")
    mesh = parallel.make_mesh(1, "jit", 1, 2)
    twice = trainer._host_rows["train"]
    twice = jax.tree.map(lambda x: np.concatenate([x[:1], x[:1], x[-1:]]), twice)
    twice = twice._replace(
        labels=np.concatenate([labels["train"][:1]] * 2 + [labels["train"][-1:]])
    )

    def keyed(state, _, shared):
        key = jax.random.fold_in(state, jax.lax.axis_index("rows"))
        logits = stage.answer(shared["params"], shared["rows"], key)
        return jax.lax.all_gather(logits[0][0], "rows")

    params = trainer.init(0)
    mapped = parallel.distribute(keyed, mesh, donate=False)
    first, second = mapped(
        jax.random.split(jax.random.key(0), 1), {}, {"params": params, "rows": twice}
    )[0]
    assert not np.allclose(first, second)


def test_mesh_takes_seeds_first():
    assert dict(parallel.make_mesh(4).shape) == {"seeds": 4, "rows": 2}
    assert dict(parallel.make_mesh(3).shape) == {"seeds": 1, "rows": 8}
    assert dict(parallel.make_mesh(16).shape) == {"seeds": 8, "rows": 1}
    assert dict(parallel.make_mesh(4, "pmap").shape) == {"seeds": 1, "rows": 8}
    assert dict(parallel.make_mesh(4, "jit", 2, 3).shape) == {"seeds": 2, "rows": 3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((2, "pmpa"), "'pmap'"),
        ((3, "jit", 2, 1), "divisor of the 3 seeds"),
        ((2, "jit", 2, 8), "at most 8"),
        ((2, "jit", -1, 1), "0 or more"),
    ],
)
def test_impossible_meshes_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        parallel.make_mesh(*arguments)


def test_a_process_without_a_device_is_refused_and_pmap_in_several(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="none of them in some of 2 processes"):
        parallel.make_mesh(2, "jit", 1, 1)
    with pytest.raises(InputError, match="'pmap' in 2 processes; expected 'jit'"):
        parallel.make_mesh(2, "pmap")


def test_compiler_options_are_known_to_this_compiler_or_left_out():
    options = parallel.compiler_options("cpu")
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2
    assert parallel.compiler_options("tpu") == {}

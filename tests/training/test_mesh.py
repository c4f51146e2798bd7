import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.training import mesh as parallel
from mman_jax.training import processes
from tests import tiny


def run(seeds, way, shards):
    trainer, labels = tiny.trainer(tiny.dense(), seeds=len(seeds), parallel_way=way, shards=shards)
    return tiny.last(trainer, labels, seeds)


@pytest.fixture(scope="module")
def one_device():
    return run([0, 1], "jit", (1, 1))


@pytest.mark.parametrize(("way", "shards"), [("jit", (2, 4)), ("pmap", (1, 8))], ids=str)
def test_eight_devices_equal_one(one_device, way, shards):
    many = run([0, 1], way, shards)

    chex.assert_trees_all_close(many.state.params, one_device.state.params, atol=1e-4)
    for stage, outcome in one_device.finished.items():
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


def test_options_that_this_compiler_does_not_know_are_left_out(monkeypatch):
    jit = jax.jit

    def older(function, compiler_options):
        return jit(function, compiler_options=compiler_options | {"xla_of_another_age": 1})

    cached = (parallel._options, parallel._knows)
    for function in cached:
        function.cache_clear()
    monkeypatch.setattr(jax, "jit", older)
    assert parallel.compiler_options("cpu") == {}
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize("seeds", [1, 3])
def test_seeds_side_by_side_give_what_they_give_in_turn(seeds):
    def step(state, own, shared):
        return {"x": state["x"] * own + shared}, jnp.sum(state["x"])

    arguments = ({"x": jnp.arange(2.0 * seeds).reshape(seeds, 2)}, 1 + jnp.arange(seeds), 5.0)
    found, in_turn = (parallel.over_seeds(step, on)(*arguments) for on in ("gpu", "cpu"))
    chex.assert_trees_all_equal(found, in_turn)
    assert found[0]["x"][-1].tolist() == [seeds * x + 5 for x in (2 * seeds - 2, 2 * seeds - 1)]


def test_what_takes_half_of_a_device_fits():
    def device(stats):
        return types.SimpleNamespace(
            local_devices=[types.SimpleNamespace(memory_stats=lambda: stats)]
        )

    assert parallel.fits(50, device({"bytes_limit": 100}))
    assert not parallel.fits(51, device({"bytes_limit": 100}))
    # A CPU tells nothing of its own: the machine's memory counts.
    assert parallel.fits(1 << 20, device(None))
    assert not parallel.fits(1 << 60, device({}))


def test_several_processes_need_not_ask_one_another_to_place_arrays(monkeypatch):
    mesh = parallel.make_mesh(2, "jit", 2, 1)
    values = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    expected = parallel.place(values, mesh, by_seed=True)
    monkeypatch.setitem(vars(mesh), "is_multi_process", True)
    monkeypatch.setattr(jax, "device_put", None)
    found = parallel.place(values, mesh, by_seed=True)
    assert found.sharding == expected.sharding
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("127.0.0.1:4567,2,0", ("127.0.0.1:4567", 2, 0)),
        ("host.example:1,16,15", ("host.example:1", 16, 15)),
        ("127.0.0.1:65535,2,1", ("127.0.0.1:65535", 2, 1)),
        ("[::1]:4567,1,0", ("[::1]:4567", 1, 0)),
    ],
)
def test_address_processes_and_id_are_read(given, meant):
    assert processes.parse(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "Auto", "127.0.0.1:4567", "127.0.0.1:4567,2", "127.0.0.1,2,0", ":4567,2,0",
        "127.0.0.1:4567,2,2", "127.0.0.1:4567,2,-1", "127.0.0.1:4567,0,0", "127.0.0.1:0,2,0",
        "127.0.0.1:65536,2,0", "127.0.0.1:4567,two,0", "127.0.0.1:4567,2,0,0", "127.0.0.1:4567,²,0",
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(given):
    with pytest.raises(InputError, match=r"distributed: .*; expected 'auto', or") as caught:
        processes.join(given)
    assert repr(given) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_process_on_its_own_joins_nothing_and_keeps_its_values():
    processes.join("")
    assert processes.is_first()
    assert processes.agree(True) is True
    assert processes.agree(False) is False
    processes.wait("here")


def test_auto_where_nothing_tells_of_others_is_refused(monkeypatch):
    def initialize():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError) as caught:
        processes.join("auto")
    assert str(caught.value) == (
        "distributed: 'auto', but no other processes can be found "
        "(coordinator_address should be defined.); expected ADDRESS:PORT,PROCESSES,ID"
    )

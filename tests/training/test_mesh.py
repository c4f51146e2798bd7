import subprocess
import sys
import types

import chex
import jax
import jax.numpy as jnp
import pytest

from mman_jax.errors import InputError
from mman_jax.training import mesh as parallel
from mman_jax.training import processes
from tests import children


@pytest.mark.e2e
def test_eight_devices():
    """Several devices slow down every compilation, so only this process has them."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=-q --tb=short", "-p", "no:xdist"]
    ended = subprocess.run(
        [*command, "tests/training/on_eight_devices.py"],
        cwd=children.ROOT, env=children.environment(devices=8), capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((2, "pmpa"), "'pmap'"),
        ((2, "jit", 2, 8), "at most 1"),
        ((2, "jit", -1, 1), "0 or more"),
    ],
)
def test_impossible_meshes_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        parallel.make_mesh(*arguments)


def test_a_process_without_a_device_is_refused_and_pmap_in_several(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="none in some of 2 processes"):
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
def test_seeds_in_parallel_equal_seeds_in_turn(seeds):
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


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("host.example:1,16,15", ("host.example:1", 16, 15)),
        ("127.0.0.1:65535,2,1", ("127.0.0.1:65535", 2, 1)),
        ("[::1]:4567,1,0", ("[::1]:4567", 1, 0)),
    ],
)
def test_address_processes_and_id_are_read(text, parsed):
    assert processes.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "Auto", "127.0.0.1:4567", "127.0.0.1:4567,2", "127.0.0.1,2,0", ":4567,2,0",
        "127.0.0.1:4567,2,2", "127.0.0.1:4567,2,-1", "127.0.0.1:4567,0,0", "127.0.0.1:0,2,0",
        "127.0.0.1:65536,2,0", "127.0.0.1:4567,two,0", "127.0.0.1:4567,2,0,0", "127.0.0.1:4567,²,0",
        "auto",  # no other process can be found
    ],
)  # fmt: skip
def test_other_processes_are_refused_in_one_line(text, monkeypatch):
    def initialize():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError, match=r"^distributed: .*; expected ") as error:
        processes.join(text)
    assert repr(text) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_process_alone_joins_nothing_and_keeps_its_values():
    processes.join("")
    assert processes.is_first()
    assert [processes.agree(value) for value in (True, False)] == [True, False]
    processes.wait("here")

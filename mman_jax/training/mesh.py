"""Distribution of one seed's pure functions over all seeds and devices."""

import contextlib
import contextvars
import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mman_jax.errors import InputError, nearest

SEEDS, ROWS = "seeds", "rows"
"""The axes over which seeds, and the rows of a batch, are spread on several devices."""

PARALLEL = ("jit", "pmap")
_BY_SEED, _EVERYWHERE = PartitionSpec(SEEDS), PartitionSpec()


def make_mesh(seeds: int, parallel: str = "jit", seed_shards: int = 0, row_shards: int = 0) -> Mesh:
    """Arranges devices as [seed shards, row shards]; seeds, which are independent, come first.

    Results do not depend on the number of devices, except that row shards change which units
    dropout drops.

    Args:
        seeds: S.
        parallel: `jit`, or `pmap`, which spreads only rows.
        seed_shards: number of devices over which seeds are spread; 0: the greatest common divisor
            of seeds and devices.
        row_shards: number of devices over which each batch's rows are spread; 0: all remaining
            devices.

    Raises:
        InputError: `parallel` is unknown, there are too few devices, or a process has no device.
    """
    if parallel not in PARALLEL:
        raise InputError("parallel", repr(parallel), nearest(parallel, PARALLEL))
    devices = jax.devices()  # the devices of all processes, ordered by process
    if min(seed_shards, row_shards) < 0:
        raise InputError("mesh", f"{seed_shards} x {row_shards} devices", "0 or more")
    if max(seed_shards, 1) * max(row_shards, 1) > len(devices):
        raise InputError("mesh", f"{seed_shards} x {row_shards} devices", f"at most {len(devices)}")
    processes = jax.process_count()
    if parallel == "pmap" and processes > 1:
        raise InputError("parallel", f"'pmap' in {processes} processes", "'jit'")
    if parallel == "pmap":
        seed_shards = 1
    seed_shards = seed_shards or math.gcd(seeds, len(devices) // max(row_shards, 1))
    row_shards = row_shards or len(devices) // seed_shards
    if seeds % seed_shards:
        raise InputError("mesh.seeds", f"{seed_shards} shards", f"a divisor of the {seeds} seeds")
    used = np.asarray(devices[: seed_shards * row_shards]).reshape(seed_shards, row_shards)
    if len({device.process_index for device in used.flat}) < processes:
        raise InputError(
            "mesh",
            f"{seed_shards} x {row_shards} devices, none in some of {processes} processes",
            f"up to {len(devices)} devices, at least one per process",
        )
    return Mesh(used, (SEEDS, ROWS))


QUICKLY = contextvars.ContextVar("quickly", default=False)
"""True while programs are compiled quickly; see `compiling`."""


@contextlib.contextmanager
def compiling(quickly: bool) -> Iterator[None]:
    """Sets whether programs are compiled quickly while the context is active.

    On CPUs, quick compilation takes a fifth of the time, and programs run about twice as long; on
    other platforms it has no effect.
    """
    token = QUICKLY.set(quickly)
    try:
        yield
    finally:
        QUICKLY.reset(token)


def use_cache(folder: str) -> str:
    """Caches compiled programs in a folder, unless it is empty; returns its path without `~`."""
    folder = os.path.expanduser(folder)
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder


def compiler_options(platform: str, once: bool = False) -> dict[str, Any]:
    """Returns compiler options, for fast programs or for quick compilation.

    A program that runs only `once` is compiled quickly; otherwise `compiling` decides.
    """
    return _options(platform, once or QUICKLY.get())


@functools.cache
def _options(platform: str, quickly: bool) -> dict[str, Any]:
    """Returns the options that the installed compiler version supports."""
    if platform != "cpu":
        return {}
    # For the few rows of a scan step, XLA's library for matrix products on CPUs takes about twice
    # as long as its plain implementation, so the library is restricted to reductions.
    options = {
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
        "xla_cpu_prefer_vector_width": 512,
    }
    if quickly:
        options |= {
            "xla_backend_optimization_level": 0,
            "xla_cpu_use_fusion_emitters": False,
            "xla_cpu_parallel_codegen_split_count": 1,
        }
    return {name: value for name, value in options.items() if _knows(name, value)}


@functools.cache
def _knows(name: str, value: Any) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def over_seeds(function: Callable, platform: str) -> Callable:
    """Maps `function(state, per_seed, shared)` over the leading axis of `state` and `per_seed`.

    On accelerators, seeds run in parallel. On CPUs they run one after another: one seed keeps the
    cores busy, and its results do not depend on the number of seeds.
    """

    def mapped(state, per_seed, shared):
        if platform != "cpu":
            return jax.vmap(function, (0, 0, None))(state, per_seed, shared)
        if len(jax.tree.leaves(state)[0]) == 1:
            state, per_seed = jax.tree.map(lambda x: x[0], (state, per_seed))
            return jax.tree.map(lambda x: x[None], function(state, per_seed, shared))
        return jax.lax.map(lambda x: function(*x, shared), (state, per_seed))

    # Shows the function's name in lists of compiled programs.
    inner = function.func if isinstance(function, functools.partial) else function
    mapped.__name__ = mapped.__qualname__ = inner.__name__.strip("<>")
    return mapped


def distribute(
    function: Callable,
    mesh: Mesh,
    parallel: str = "jit",
    donate: bool = True,
    shared: Any = _EVERYWHERE,
    out: PartitionSpec = _BY_SEED,
):
    """Compiles `function(state, per_seed, shared)` of one seed for all seeds on the mesh.

    The function is pure, and sums over the axis `rows` if the mesh has several row shards. With
    `donate`, the state may be overwritten. `shared` and `out` are, with `jit`, the layouts of the
    arrays that all seeds share (replicated by default) and of the results.
    """
    platform = mesh.devices.flat[0].platform
    mapped = over_seeds(function, platform)
    if parallel == "pmap":
        devices = list(mesh.devices.flat)
        # pmap needs an argument to distribute: the indices of the shards.
        numbered = jax.pmap(
            lambda _, *arguments: mapped(*arguments),
            ROWS,
            in_axes=(0, None, None, None),
            out_axes=None,
            devices=devices,
        )
        return lambda *arguments: numbered(np.arange(len(devices)), *arguments)
    sharded = jax.shard_map(
        mapped,
        mesh=mesh,
        in_specs=(_BY_SEED, _BY_SEED, shared),
        out_specs=out,
        check_vma=False,
    )
    donated = (0,) if donate else ()
    return jax.jit(sharded, donate_argnums=donated, compiler_options=compiler_options(platform))


def place(tree: Any, mesh: Mesh, by_seed: bool) -> Any:
    """Puts arrays on the mesh, spread along a leading seed axis or replicated.

    The arrays are complete on every process, or already on the mesh.
    """
    sharding = layout(mesh, by_seed)

    def put(x):
        if mesh.is_multi_process and not isinstance(x, jax.Array):
            # `device_put` would send the array to all processes to compare it.
            return jax.make_array_from_callback(np.shape(x), sharding, np.asarray(x).__getitem__)
        return jax.device_put(x, sharding)

    return jax.tree.map(put, tree)


def fits(size: int, mesh: Mesh) -> bool:
    """Returns whether a number of bytes is at most half of a device's memory."""
    stats = mesh.local_devices[0].memory_stats() or {}
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return size <= stats.get("bytes_limit", pages) / 2


def layout(mesh: Mesh, by_seed: bool) -> NamedSharding:
    """Returns the layout of arrays on the mesh, spread along a leading seed axis or replicated."""
    return NamedSharding(mesh, _BY_SEED if by_seed else _EVERYWHERE)

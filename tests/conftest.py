"""One CPU device, quick compilation, and a folder that all processes of the session share."""

import gc
import os
import subprocess
import sys
import tempfile
import warnings

import pytest

# Tests compile much and compute little: the compiler's own optimisation is left out, and what one
# test compiled the next one finds again.
FLAGS = ("--xla_backend_optimization_level=0",)
# These halve the compiler's time again. A jaxlib that lacks one would end every process.
QUICK = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")


def _add(*flags):
    given = os.environ.get("XLA_FLAGS", "")
    missing = [flag for flag in flags if flag.split("=")[0] not in given]
    return " ".join([given, *missing]).strip()


def _starts(xla_flags):
    """Whether jax starts with these flags."""
    told = {**os.environ, "XLA_FLAGS": xla_flags}
    start = [sys.executable, "-c", "import jax; jax.devices()"]
    return not subprocess.run(start, env=told, capture_output=True).returncode


os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # nobody reads which line an operation is of
# Traced programs are many small objects that live on: looking through them often finds nothing.
gc.set_threshold(100_000, 50, 100)
os.environ["XLA_FLAGS"] = _add(*FLAGS)

SESSION = "MMAN_JAX_TEST_SESSION"

if SESSION not in os.environ:  # all workers share these, and the processes that they start
    for flag in QUICK:
        if _starts(_add(flag)):
            os.environ["XLA_FLAGS"] = _add(flag)
    _CACHE = tempfile.TemporaryDirectory(prefix="mman_jax_tests_")
    os.environ[SESSION] = os.environ["XDG_CACHE_HOME"] = _CACHE.name
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(_CACHE.name, "mman_jax")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # Matplotlib says on stderr that it makes this: once, here, and not in a test that looks there.
    with warnings.catch_warnings(action="ignore"):  # an old one with a new pyparsing
        import matplotlib.font_manager  # noqa: F401

pytest_plugins = ["tests.fixtures"]


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs():
    """Drops the compiled programs and registrations of a file. A process may have 65 530 mappings,
    and a program takes some hundred.
    """
    yield
    if tiny := sys.modules.get("tests.tiny"):
        tiny._TRAINERS.clear()
        for name in [name for name in tiny.systems.SYSTEMS if ":" in name]:
            del tiny.systems.SYSTEMS[name]
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


LONG = (
    "systems/test_contract.py",
    "study/test_paper.py",
    "study/test_folds.py",
    "training/test_mesh.py",
    "cli/test_extract.py",
    "study/test_sweep.py",
    "trial/test_over_sequences.py",
    "systems/test_over_frames.py",
    "systems/test_mfm.py",
)
"""Files that take longest: begun first, so that no worker is left with one at the end."""


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.location[0].removeprefix("tests/")
        return LONG.index(name) if name in LONG else len(LONG)

    items.sort(key=place)

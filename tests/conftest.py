"""Eight fake CPU devices, so that what runs on several devices is tested on any machine."""

import os
import tempfile
import warnings

# Tests compile much and compute little: the compiler's own optimisation is left out, and what one
# test compiled the next one finds again.
FLAGS = ("--xla_force_host_platform_device_count=8", "--xla_backend_optimization_level=0")

os.environ["JAX_PLATFORMS"] = "cpu"
given = os.environ.get("XLA_FLAGS", "")
missing = [flag for flag in FLAGS if flag.split("=")[0] not in given]
os.environ["XLA_FLAGS"] = " ".join([given, *missing]).strip()

import jax  # noqa: E402  (after the flags that it reads once)

if "PYTEST_XDIST_WORKER" not in os.environ:  # all workers share it, and the commands they start
    _CACHE = tempfile.TemporaryDirectory(prefix="mman_jax_tests_")
    os.environ["XDG_CACHE_HOME"] = _CACHE.name
    # Matplotlib says on stderr that it makes this: once, here, and not in a test that looks there.
    with warnings.catch_warnings(action="ignore"):  # an old one with a new pyparsing
        import matplotlib.font_manager  # noqa: F401
jax.config.update("jax_compilation_cache_dir", os.path.join(os.environ["XDG_CACHE_HOME"], "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

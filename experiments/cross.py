"""`python -m experiments.cross` is `mman cross`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("cross")

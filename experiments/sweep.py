"""`python -m experiments.sweep` is `mman sweep`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("sweep")

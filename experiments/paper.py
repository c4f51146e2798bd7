"""`python -m experiments.paper` is `mman paper`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("paper")

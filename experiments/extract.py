"""`python -m experiments.extract` is `mman extract`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("extract")

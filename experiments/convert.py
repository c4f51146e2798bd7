"""`python -m experiments.convert` is `mman convert`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("convert")

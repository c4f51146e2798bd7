"""`python -m experiments.look` is `mman look`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("look")

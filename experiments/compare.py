"""`python -m experiments.compare` is `mman compare`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("compare")

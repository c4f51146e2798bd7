"""`python -m experiments.share` is `mman share`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("share")

"""`python -m experiments.verify` is `mman verify`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("verify")

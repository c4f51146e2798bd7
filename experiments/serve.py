"""`python -m experiments.serve` is `mman serve`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("serve")

"""`python -m experiments.export` is `mman export`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("export")

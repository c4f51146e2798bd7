"""`python -m experiments.run` is `mman run`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("run")

"""`python -m experiments.listen` is `mman listen`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("listen")

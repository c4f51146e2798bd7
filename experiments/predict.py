"""`python -m experiments.predict` is `mman predict`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("predict")

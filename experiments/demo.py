"""`python -m experiments.demo` is `mman demo`."""

from mman_jax.cli.main import start

if __name__ == "__main__":
    start("demo")

"""Commands for use in a checkout: `python -m experiments.NAME` is `mman NAME`."""

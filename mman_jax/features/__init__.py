"""Features of raw clips: measurements of single utterances, and models fitted to training data.

`import mman_jax` does not import this package; optional packages are imported on use.
"""

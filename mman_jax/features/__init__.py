"""Features of raw clips: measurements of single utterances, and what is fitted to training ones.

`import mman_jax` imports nothing of it, and optional packages are imported where they are used.
"""

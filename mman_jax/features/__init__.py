"""Raw clips to feature vectors: pure functions of one utterance, and what is fitted on training.

Nothing here is imported by `import mman_jax`; libraries beyond the core are imported where used.
"""

"""Corpora of conversations: readers, checks, splits, scaling and batches, in NumPy only."""

"""Corpora of conversations: reading and checking them, splits, scaling, batches. NumPy only."""

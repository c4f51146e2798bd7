"""Synthetic conversations for `mman demo`, with scripts, voices and faces."""

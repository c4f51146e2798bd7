"""Synthetic conversations for `mman demo`: scripts, voices and faces."""

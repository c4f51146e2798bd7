"""Talks made by machine for `mman demo`: a script, voices and faces."""

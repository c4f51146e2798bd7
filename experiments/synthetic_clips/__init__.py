"""Talks made by machine for `experiments.demo`: a script, voices and faces."""

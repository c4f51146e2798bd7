"""Damaged files and killed processes: `python -m tests.robustness.fuzz`."""

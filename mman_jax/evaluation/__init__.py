"""Evaluation of systems: intervals, paired tests, calibration, groups and attention weights."""

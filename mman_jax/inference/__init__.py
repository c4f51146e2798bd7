"""Predictions of trained systems for new conversations."""

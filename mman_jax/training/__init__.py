"""Losses, freezing, stages, and how they run for all seeds on all devices."""

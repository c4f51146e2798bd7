"""Layers of networks, in Flax Linen: recurrences, attention, transformers, towers, fusion."""

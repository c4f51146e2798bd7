"""Layers of networks: recurrences, attention, transformers, towers, fusion. Pure Linen."""

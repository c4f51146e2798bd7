"""Configs of the systems, one per file, and the name of the default config."""

DEFAULT = "mman"

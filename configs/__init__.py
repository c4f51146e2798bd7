"""One short file a system, and the default config."""

DEFAULT = "mman"

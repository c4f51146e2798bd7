"""File formats: untrusted files are read with checks, and files are written atomically."""

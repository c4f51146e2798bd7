"""Bytes on disk: untrusted files read with checks, and files written whole."""

"""Bytes on disk: read with care, whoever wrote them, and written whole."""

"""Readers of public layouts, one module per layout."""

"""Readers of public layouts, one a layout."""

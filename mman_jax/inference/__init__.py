"""A trained system on new conversations."""

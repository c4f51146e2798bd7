"""Studies of many trials."""

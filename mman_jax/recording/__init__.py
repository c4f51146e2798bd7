"""Pages of recordings: turns, their prosody, and predictions."""

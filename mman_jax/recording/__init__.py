"""Pages of recordings: turns, how they sounded, and predictions."""

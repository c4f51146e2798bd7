"""Recognition of the words of recordings."""

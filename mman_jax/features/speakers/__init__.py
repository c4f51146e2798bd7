"""Who speaks in recordings."""

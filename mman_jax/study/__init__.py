"""Many trials on one corpus."""

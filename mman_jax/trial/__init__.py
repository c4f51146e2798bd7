"""One system on one corpus in one folder."""

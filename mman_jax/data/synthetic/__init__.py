"""The built-in corpus: a process whose best possible accuracy is computed exactly."""

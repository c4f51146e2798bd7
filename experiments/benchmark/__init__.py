"""Cases of `experiments.bench`."""

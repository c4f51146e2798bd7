"""Measuring every utterance of a manifest: a pool of processes, a cache, Apache Beam."""

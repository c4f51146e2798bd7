"""Measurement of the utterances of a manifest, by a pool of processes or Apache Beam."""

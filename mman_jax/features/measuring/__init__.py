"""Every utterance of a manifest measured: a pool of processes, a cache, Beam."""

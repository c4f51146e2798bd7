"""One short file a system; `mman.py` is the whole recipe."""

"""The commands; only this package uses flags, clocks and the terminal."""

import gc

# Importing and tracing create many long-lived objects and few cycles. With Python's default
# thresholds the garbage collector takes a sixth of the time of tracing.
gc.set_threshold(50_000, 20, 20)

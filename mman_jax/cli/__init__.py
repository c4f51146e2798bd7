"""The commands: flags, clocks and the terminal live here and nowhere else."""

import gc

# Importing and tracing make many lasting objects and few cycles: looking for cycles as often as
# Python does by default takes a sixth of the time of tracing.
gc.set_threshold(50_000, 20, 20)

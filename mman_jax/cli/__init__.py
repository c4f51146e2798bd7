"""The commands: flags, clocks and the terminal live here and nowhere else."""

import gc

# Importing and tracing make many objects that stay, and few cycles: looking for these as often as
# Python does by default took a sixth of the time that tracing takes.
gc.set_threshold(50_000, 20, 20)

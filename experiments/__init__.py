"""The commands: flags, files, clocks and the screen live here and nowhere else."""

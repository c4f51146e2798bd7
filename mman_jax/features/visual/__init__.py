"""Visual features by a network on windows of frames."""

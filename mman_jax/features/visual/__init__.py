"""Features of pictures: a network on windows of frames."""

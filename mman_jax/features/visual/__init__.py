"""Pictures: windows of frames, and a 3D ResNet on them."""

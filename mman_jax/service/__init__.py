"""HTTP service of a trained model."""

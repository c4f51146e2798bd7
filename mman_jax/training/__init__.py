"""Training: objectives, optimization and stages, for all seeds on all devices."""

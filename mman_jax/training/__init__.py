"""Training: objectives, optimisation and stages, for all seeds on all devices."""

"""Ray Train and Ray Tune around the models."""

"""Training of species models."""

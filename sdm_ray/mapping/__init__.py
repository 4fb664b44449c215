"""From a model to maps."""

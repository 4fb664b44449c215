"""From a model to maps and indicators."""

"""The small country, its models and a way to map it, once for all tests of indicators."""

from helpers.small_country import make, models, world

__all__ = ["make", "models", "world"]

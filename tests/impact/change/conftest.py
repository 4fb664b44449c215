"""The small country, once for all tests of change."""

from helpers.small_country import world

__all__ = ["world"]

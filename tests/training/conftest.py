"""The tiny world, once for all tests of training."""

from helpers.tiny_world import execute, world

__all__ = ["execute", "world"]

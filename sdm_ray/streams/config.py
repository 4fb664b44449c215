"""Configuration of the shuffle of windows. Light: nothing heavy is imported here."""

from typing import ClassVar

from pydantic import PositiveInt

from sdm_ray.config import Config


class Mixing(Config):
    """How windows of a tile cube are shuffled in training."""

    old_keys: ClassVar = {"lanes": "interleave", "reach": "shuffle_window"}

    interleave: PositiveInt = 16
    """Sequences of windows, each from a region of its own, that every batch is drawn from; as many as also divide the
    batch. Ranks that own whole sequences decode no chunk that another rank decodes as well, so choose a multiple of
    the ranks."""
    shuffle_window: PositiveInt = 1024
    """Windows by which a window is delayed at most. About three times as many are held in memory: at 64 pixels and
    4 bands 100 MB, at 128 pixels 400 MB, over all ranks together."""

"""How the order of training mixes places that are read together. Light: nothing heavy is imported here."""

from typing import ClassVar

from pydantic import PositiveInt

from sdm_ray.config import Config


class Mixing(Config):
    """How windows of a tile cube are shuffled; part of what a model is trained by."""

    old_keys: ClassVar = {"lanes": "interleave", "reach": "shuffle_window"}

    interleave: PositiveInt = 16
    """Regions of the cube that every batch is drawn from side by side; as many as also divide the batch. Ranks that own
    whole lanes decode no chunk that another rank decodes as well, so choose a multiple of the ranks."""
    shuffle_window: PositiveInt = 1024
    """Windows by which a window is moved in its turn at most. Three times as many are held, about: at 64 pixels and
    4 bands 100 MB, at 128 pixels 400 MB, over all ranks together."""

"""How the order of training mixes places that are read together. Light: nothing heavy is imported here."""

from pydantic import PositiveInt

from sdm_ray.config import Config


class Mixing(Config):
    """How windows of a tile cube are shuffled; part of what a model is trained by."""

    reach: PositiveInt = 4096
    """Windows among which a window is shuffled. All of them are held: at 64 pixels and 4 bands 134 MB a rank, at 128
    pixels 537 MB."""
    lanes: PositiveInt = 1
    """Parts of the cube that a batch is drawn from side by side. Ranks that own whole lanes decode no chunk that
    another rank decodes as well, so choose a multiple of the ranks; a batch is a multiple of it."""

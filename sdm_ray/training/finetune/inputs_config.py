"""Images of surveys that a model is trained on. Light: imports neither torch nor Ray."""

from pydantic import Field

from sdm_ray.config import Config


class ShardsConfig(Config):
    """Images of one scale out of image shards, as far as surveys have any."""

    shards: str = "shards"
    """Image shards that hold the scale."""
    size: int = Field(64, ge=8)
    """Side of an image, pixels."""
    within_m: float | None = Field(None, ge=0)
    """Images of the nearest place at most so far off; by default a survey's own, known by its id, as the patches of
    GeoLifeCLEF are."""


class WindowsConfig(Config):
    """Windows of a tile cube, one around each survey."""

    cube: str = "cube.zarr"
    bands: tuple[str, ...] = ()
    """Names of the cube's bands, in the order of the tower's; by default all of them."""
    season: str | None = None
    """Name of the cube's composite; by default its first."""
    size: int = Field(64, ge=8)
    """Side of a window, pixels."""

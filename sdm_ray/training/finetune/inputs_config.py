"""Images of surveys that a model is trained on. Light: imports neither torch nor Ray."""

from pydantic import Field, PositiveFloat, PositiveInt

from sdm_ray.config import Config
from sdm_ray.models.config import Scale


class ShardsConfig(Config):
    """Images of one scale out of image shards, as far as surveys have any."""

    shards: str = "shards"
    """Image shards that hold the scale."""
    size: int = Field(64, ge=8)
    """Side of an image, pixels."""
    within_m: float | None = Field(None, ge=0)
    """Images of the nearest place at most so far off, with its distance as one more input; by default a survey's own,
    known by its id, as the patches of GeoLifeCLEF are."""
    shuffled: bool = False
    """Placebo: the places exchange their images at random, so that a gain from what images show is lost."""


class NearbyConfig(Config):
    """Kernel means of what the images around a place look like: imagery sparse in space informs every place."""

    shards: str = "shards"
    """Image shards."""
    scale: Scale = "satellite"
    """Scale of the images; the tower of `encoder` describes them where it has one, else mean, deviation and texture of
    each band do."""
    size: int = Field(64, ge=8)
    """Side of an image, pixels."""
    ranges_km: tuple[PositiveFloat, ...] = Field((1.0, 5.0, 25.0), min_length=1)
    """Ranges of the kernel."""
    components: PositiveInt = 16
    """Principal components of the images' features that are kept."""
    shuffled: bool = False
    """Placebo: the places exchange their images at random."""


class WindowsConfig(Config):
    """Windows of a tile cube, one around each survey."""

    cube: str = "cube.zarr"
    bands: tuple[str, ...] = ()
    """Names of the cube's bands, in the order of the tower's; by default all of them."""
    season: str | None = None
    """Name of the cube's composite; by default its first."""
    size: int = Field(64, ge=8)
    """Side of a window, pixels."""

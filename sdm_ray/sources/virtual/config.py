"""The virtual landscape."""

from typing import Literal

from pydantic import Field, model_validator

from sdm_ray.config import Config
from sdm_ray.sources.entry import Source


class Virtual(Source):
    """The virtual landscape described under `virtual`."""

    module = "virtual.landscape"
    source: Literal["virtual"]

    def cite(self) -> str:
        """The citation says that the data are simulated."""
        return "virtual landscape of sdm-ray (made, not observed)"


class VirtualSurveys(Virtual):
    """Surveys of the virtual landscape at random places, denser near roads."""

    surveys: int = Field(default=900, ge=1)


class VirtualPhotos(Virtual):
    """Drawn photos of the virtual landscape."""

    scale: Literal["plant", "landscape"]
    photos: int = Field(default=1500, ge=1)
    size: int = Field(default=64, ge=16)
    """Side, pixels."""


class ManagementConfig(Config):
    """Parcels of the landscape that lose their forest to grass."""

    parcels: int = Field(default=80, ge=1)
    """Number of treated parcels; moist ones are more likely to be."""
    side_cells: int = Field(default=2, ge=1)
    """Side of a parcel, cells of the map."""
    least_forest: float = Field(default=0.3, gt=0, le=1)
    """Share of forest that a parcel has at least, treated or not."""
    year: int = 2025
    """Year of the treatment."""


class VirtualConfig(Config):
    """A virtual landscape on a part of the EU grid."""

    west: float = 4_224_000
    """Western edge, EPSG:3035 metres, a multiple of `resolution_m`."""
    south: float = 2_880_000
    cells: int = Field(default=96, ge=16)
    """Side of the landscape, cells of the map."""
    resolution_m: float = Field(default=1000, gt=0)
    """Side of a cell of the map, metres."""
    pixel_m: float = Field(default=50, gt=0)
    """Side of a pixel of the cube, metres; a cell is a whole number of pixels wide."""
    covariate_cells: int = Field(default=5, ge=1)
    """Side of a cell of the covariates, cells of the map."""
    species: int = Field(default=12, ge=1)
    landcover_share: float = Field(default=0.5, ge=0, le=1)
    """Mean share of the variance of the species' logits explained by land cover; climate explains the rest."""

    management: ManagementConfig | None = None
    """What was done to the land: surveys, covariates and photos are from before, the cube and the truth from after."""

    @model_validator(mode="after")
    def _whole_cells(self) -> "VirtualConfig":
        for key, value, unit in (
            ("west", self.west, self.resolution_m),
            ("south", self.south, self.resolution_m),
            ("resolution_m", self.resolution_m, self.pixel_m),
        ):
            if value % unit:
                raise ValueError(f"{key}: {value:g} is no multiple of {unit:g}")
        return self

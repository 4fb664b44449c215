"""What a scenario of `map` is configured by; imports nothing heavy."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from sdm_ray.config import Config


class DonorsConfig(Config):
    """Donor cells: each changed cell takes covariates and image patch from one of the nearest of them, drawn."""

    where: dict[str, float] = Field(default={})
    """Covariate -> least value at a donor cell, such as `{cover=grassland: 0.8}`, in the scenario's covariate store
    where that has it, else in the map's."""
    search_m: float = Field(default=50_000, gt=0)
    """Most metres from the nearest of the polygons to a donor cell's centre."""
    nearest: int = Field(default=10, ge=1)
    """How many of the nearest donor cells one is drawn from; the draw follows from the seed and the cell's place."""


class ParcelsConfig(Config):
    """Land that becomes something else: covariates and images of the cells whose centre lies in some polygons."""

    within: str
    """Polygons (GeoPackage, GeoJSON, shapefile, WKT in degrees)."""
    set: dict[str, float] = Field(default={})
    """Covariate -> its value there, such as `{forest: 0, grassland: 1}`; counts more than `like` and `donors`."""
    like: str | None = None
    """Polygons of donor places: covariates are the means over the store's cells in there; or with `donors`, where
    donor cells lie."""
    donors: DonorsConfig | None = None
    """Take each cell's covariates and image patch from a donor cell outside the polygons instead of means; a donor cell
    is one in which all covariates that are taken are known."""
    covariates: list[str] | None = Field(default=None, min_length=1)
    """Covariates that are taken from `like` or `donors`; by default all of the model's."""

    @model_validator(mode="after")
    def _changes_something(self) -> "ParcelsConfig":
        if not self.set and self.like is None and self.donors is None:
            raise ValueError("expected `set`, `like` or `donors`, by which the land changes")
        if self.covariates is not None and self.like is None and self.donors is None:
            raise ValueError("covariates: are taken from donors; give `like` or `donors`")
        if self.donors is not None and not self.donors.where and self.like is None:
            raise ValueError("donors: expected `where`, covariates that tell donor cells, or `like`, polygons of them")
        return self


class ScenarioConfig(Config):
    """Changed covariates and images that a map is predicted from."""

    covariates: str | None = None
    """Covariate store whose values replace those of the same names, such as the climate of a later year."""
    parcels: list[ParcelsConfig] = Field(default=[])
    """Land that becomes something else, after that; of polygons that overlap, the last counts."""

    @model_validator(mode="after")
    def _changes_something(self) -> "ScenarioConfig":
        if self.covariates is None and not self.parcels:
            raise ValueError("expected `covariates`, `parcels` or both")
        return self

    def files(self) -> list[str]:
        """Polygon files."""
        return [name for each in self.parcels for name in (each.within, each.like) if name is not None]


def _labels_as_text(values: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Years are numbers in YAML."""
    return {str(label): each for label, each in values.items()} if isinstance(values, dict) else values


Scenarios = Annotated[dict[str, ScenarioConfig], BeforeValidator(_labels_as_text)]
"""Label -> scenario."""

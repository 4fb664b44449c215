"""What a scenario of `map` is configured by; imports nothing heavy."""

from pydantic import Field, model_validator

from sdm_ray.config import Config


class ParcelsConfig(Config):
    """Land that becomes something else: covariates of the cells whose centre lies in some polygons."""

    within: str
    """Polygons (GeoPackage, GeoJSON, shapefile, WKT in degrees)."""
    set: dict[str, float] = Field(default={})
    """Covariate -> its value there, such as `{forest: 0, grassland: 1}`."""
    like: str | None = None
    """Polygons of donor places: covariates are the means over the store's cells in there."""
    covariates: list[str] | None = Field(default=None, min_length=1)
    """Covariates that are taken from the donors; by default all of the model's."""

    @model_validator(mode="after")
    def _changes_something(self) -> "ParcelsConfig":
        if not self.set and self.like is None:
            raise ValueError("expected `set`, `like` or both, by which the land changes")
        if self.covariates is not None and self.like is None:
            raise ValueError("covariates: are taken from donors; give `like`")
        return self


class ScenarioConfig(Config):
    """Changed covariates that a map is predicted from."""

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

"""What `change` is configured by; imports nothing heavy."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import JobConfig
from sdm_ray.indicators.config import ZoneFileConfig
from sdm_ray.mapping.config import ComputeConfig


class ChangeConfig(JobConfig):
    """`change`: what differs between maps of the same species on the same grid."""

    output: str = "change.zarr"
    maps: dict[str, str] = Field(default={})
    """Label (a year, season or scenario) -> map; every other map is compared with the first."""
    scenarios: str | None = None
    """Map of several scenarios instead of `maps`; each is compared with its baseline."""
    land: str = "land.zarr"
    """Country index for the table of countries, on a grid that covers the maps'."""
    errors: str | None = None
    """Error model of `errors`, for intervals and the mask of what cannot be told from the model's noise."""
    errors_of_maps: Literal["shared", "independent"] = "shared"
    """Whether the maps have the same errors, as those of one model have, or errors of their own."""
    draws: int = Field(default=100, ge=20)
    """Joint draws of the errors."""
    level: float = Field(default=0.9, gt=0, lt=1)
    """Of the intervals."""
    indicators: dict[str, str] = Field(default={})
    """Label -> indicators of that map; each layer's difference from the first is written as well."""
    zones: ZoneFileConfig | None = None
    """Polygons, for a table of differences by polygon."""
    compute: ComputeConfig = Field(default=ComputeConfig(), exclude=True)

    @field_validator("maps", "indicators", mode="before")
    @classmethod
    def _labels_as_text(cls, values: object) -> object:
        """Years are numbers in YAML."""
        return {str(label): name for label, name in values.items()} if isinstance(values, dict) else values

    @field_validator("indicators")
    @classmethod
    def _more_than_one(cls, values: dict[str, str]) -> dict[str, str]:
        if len(values) == 1:
            raise ValueError("expected indicators of two or more of the maps")
        return values

    @model_validator(mode="after")
    def _something_to_compare(self) -> "ChangeConfig":
        if self.scenarios is not None and self.maps:
            raise ValueError("scenarios: is a map of several, in place of `maps`; expected one of them")
        if self.scenarios is None and len(self.maps) < 2:
            raise ValueError(f"maps: expected two or more, or `scenarios`, a map of several; found {len(self.maps)}")
        return self

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        single = [name for name in (self.scenarios, self.errors) if name is not None]
        return [*self.maps.values(), self.land, *single, *self.indicators.values()]

    def reads_files(self) -> list[str]:
        """The polygons."""
        return [] if self.zones is None else [self.zones.file]

    def stated_sources(self) -> list[str]:
        """Source of the polygons."""
        if self.zones is None:
            return []
        return [self.zones.source or f"{self.zones.file.rpartition('/')[2]} (source not stated)"]

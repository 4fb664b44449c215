"""What `change` is configured by; imports nothing heavy."""

from typing import Literal

from pydantic import Field, field_validator

from sdm_ray.config import JobConfig
from sdm_ray.mapping.config import ComputeConfig


class ChangeConfig(JobConfig):
    """`change`: what differs between maps of the same species on the same grid."""

    output: str = "change.zarr"
    maps: dict[str, str] = Field(min_length=2)
    """Label (a year, season or scenario) -> map; every other map is compared with the first."""
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

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        errors = [] if self.errors is None else [self.errors]
        return [*self.maps.values(), self.land, *errors, *self.indicators.values()]

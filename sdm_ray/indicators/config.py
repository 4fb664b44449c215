"""What `indicators` is configured by; imports nothing heavy."""

from typing import Annotated, Literal

from pydantic import Field

from sdm_ray.config import JobConfig
from sdm_ray.mapping.config import ComputeConfig


class IndicatorsConfig(JobConfig):
    """`indicators`: richness, its uncertainty, countries and species ranges from a map."""

    output: str = "indicators.zarr"
    map: str = "map.zarr"
    land: str = "land.zarr"
    """Country index for the table of countries, on a grid that covers the map's."""
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.5], min_length=1)
    """Probabilities from which a species counts as likely in `likely_species`."""
    evaluation: str | None = None
    """Artefact of `evaluate`, whose thresholds by name cut the ranges of species in `ranges.csv`."""
    force: list[Literal["relative"]] = Field(default=[])
    """`relative`: derive indicators from relative suitabilities all the same."""
    compute: ComputeConfig = Field(default=ComputeConfig(), exclude=True)

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return [name for name in (self.map, self.land, self.evaluation) if name is not None]

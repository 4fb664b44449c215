"""What `errors` is configured by; imports nothing heavy."""

from typing import Annotated

from pydantic import Field

from sdm_ray.config import JobConfig

Kilometres = Annotated[float, Field(gt=0)]


class ErrorsConfig(JobConfig):
    """`errors`: how far a map's probabilities may be wrong, together over places and species."""

    output: str = "errors"
    map: str = "map-crossfit.zarr"
    """Cross-fitted map of the model: its errors at the surveys are those of blocks that the model never saw."""
    surveys: str = "surveys.parquet"
    ranges_km: list[Kilometres] = Field(default=[5, 25, 150], min_length=1)
    """Distances at which the correlation of each kind of error falls to 1/e."""
    constant: bool = True
    """Whether a part of the error is the same everywhere."""
    factors: int = Field(default=4, ge=1)
    """Fields of each range that the species share."""
    pairs: int = Field(default=60_000, ge=1000)
    """Pairs of surveys in each class of distance that the errors are fitted to."""
    zones_km: list[Annotated[float, Field(ge=0)]] = Field(default=[0, 10, 100])
    """Sides of the square zones whose intervals are checked on held-out blocks; 0: single surveys."""
    draws: int = Field(default=200, ge=20)
    """Draws of the check."""
    level: float = Field(default=0.9, gt=0, lt=1)
    """Nominal coverage that is checked."""

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return [self.map, self.surveys]

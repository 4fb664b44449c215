"""What `sample` is configured by; imports nothing heavy."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from sdm_ray.config import JobConfig


class SampleConfig(JobConfig):
    """`sample`: where to survey next, from a map, its model and its surveys."""

    output: str = "sample"
    map: str = "map.zarr"
    """Map whose record names the model, the covariates and the surveys."""
    sites: PositiveInt = 100
    """Most sites."""
    budget: PositiveFloat | None = None
    """Most that the sites cost together."""
    cost: str | None = None
    """Raster of the cost of a survey, above 0, that GDAL reads; by default every site costs 1."""
    uncertainty: Literal["none", "entropy", "variance", "spread"] = "none"
    """What cells are weighted by: all alike, or by the model's uncertainty there, as mean over species of entropy or of
    p (1 - p), or as the fold models' `probability_spread`."""
    weights: Literal["model", "equal"] = "model"
    """How much a covariate counts: by how far the model's probabilities change where it is permuted, or all alike."""
    apart_m: float = Field(default=0, ge=0)
    """Least distance between two sites, metres."""
    within: str | None = None
    """Only cells whose centre lies within the polygons of a file."""
    candidates: PositiveInt = 20_000
    """Cells that are compared; of more, as many are drawn at random."""
    demand: PositiveInt = 5_000
    """Of these, cells that surveys are to be near to, whose distances make the gain; of more, a part at random."""

    @model_validator(mode="after")
    def _has_a_cost(self) -> "SampleConfig":
        if self.cost is not None and self.budget is None:
            raise ValueError("budget: missing; sites of different `cost` are chosen under one")
        return self

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return [self.map]

    def reads_files(self) -> list[str]:
        """The raster of costs, and the polygons."""
        return [name for name in (self.cost, self.within) if name is not None]

"""How a map's area of applicability is found; imports nothing heavy."""

from typing import Literal

from pydantic import Field

from sdm_ray.config import Config


class ApplicabilityConfig(Config):
    """`applicability` of `map`: how unlike the surveys' covariates those of each cell are."""

    weights: Literal["model", "equal"] = "model"
    """How much a covariate counts: by how far the model's probabilities change where it is permuted, or all alike."""
    evaluation: str | None = None
    """Evaluation with `explain`, whose permutation importance weighs the covariates instead."""
    most_surveys: int = Field(default=20_000, ge=100)
    """Surveys of different covariates that cells are compared with; of more, as many are drawn at random."""

"""What `evaluate` is told. Light: no numerics are imported here."""

from typing import Annotated, Literal

from pydantic import Field

from sdm_ray.config import Config

Features = Literal["coordinates", "covariates", "both"]


class ForestConfig(Config):
    """A random forest, all species in one."""

    kind: Literal["forest"] = "forest"
    features: Features = "both"
    trees: int = Field(default=200, ge=1)
    max_features: float = Field(default=0.3, gt=0, le=1)
    """Share of the features tried at each split."""
    min_samples_leaf: int = Field(default=10, ge=1)
    tune: bool = False
    """Choose `max_features` and `min_samples_leaf` from a small grid on `select` rows of the first fold."""


class BoostingConfig(Config):
    """Gradient-boosted trees, one model a species; the number of rounds is chosen on the `select` rows."""

    kind: Literal["boosting"] = "boosting"
    features: Features = "both"
    max_rounds: int = Field(default=600, ge=1)
    patience: int = Field(default=30, ge=1)
    """Rounds without a better loss on the `select` rows before it stops."""
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    num_leaves: int = Field(default=15, ge=2)
    min_child_samples: int = Field(default=50, ge=1)
    tune: bool = False
    """Choose `learning_rate`, `num_leaves` and `min_child_samples` likewise."""


RivalConfig = Annotated[ForestConfig | BoostingConfig, Field(discriminator="kind")]

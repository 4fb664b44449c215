"""Configuration of the baselines; imports nothing heavy."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from sdm_ray.config import Config
from sdm_ray.input_paths import InputPath

Features = Literal["coordinates", "covariates", "both"]
RIDGES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Ridge penalties to choose from: with few occurrences strong ones are best, with many weak ones."""


class TreesConfig(Config):
    """The trees of a random forest, one forest for all species."""

    trees: int = Field(default=200, ge=1)
    max_features: float = Field(default=0.3, gt=0, le=1)
    """Share of the features that each split considers."""
    min_samples_leaf: int = Field(default=10, ge=1)


class ForestConfig(TreesConfig):
    """A random forest as a baseline."""

    kind: Literal["forest"] = "forest"
    features: Features = "both"
    extra: bool = False
    """Extremely randomised trees: splits are drawn at random, and each tree sees all rows (Geurts et al. 2006)."""
    tune: bool = False
    """Choose `max_features` and `min_samples_leaf` from a small grid on the `validation` rows of each fold."""


class BoostingConfig(Config):
    """Gradient-boosted trees, one model a species; the number of rounds is chosen on the `validation` rows."""

    kind: Literal["boosting"] = "boosting"
    features: Features = "both"
    max_rounds: int = Field(default=600, ge=1)
    patience: int = Field(default=30, ge=1)
    """Rounds without a better loss on the `validation` rows before it stops."""
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    num_leaves: int = Field(default=15, ge=2)
    min_child_samples: int = Field(default=50, ge=1)
    tune: bool = False
    """Choose `learning_rate`, `num_leaves` and `min_child_samples` from a small grid on the `validation` rows of each
    fold."""


class LogisticConfig(Config):
    """A ridge logistic regression for each species on fixed features of a place."""

    kind: Literal["logistic"] = "logistic"
    features: Features = "both"
    """Coordinates become Fourier features."""
    wavelengths_km: tuple[float, ...] = (3000, 1500, 750, 500, 250)
    """Of the Fourier features."""
    geoclip: InputPath | None = None
    """Published weights of GeoCLIP's location encoder (its wheel), whose features of the coordinates are added."""
    ridge: tuple[PositiveFloat, ...] = Field(RIDGES, min_length=1)
    """Penalties to choose from for each species, by cross-validation over blocks of the training rows."""
    tune: Literal[False] = False


class MaxentConfig(Config):
    """MaxEnt for each species, by elapid: presences against a background."""

    kind: Literal["maxent"] = "maxent"
    features: Features = "both"
    feature_types: tuple[Literal["linear", "hinge", "product", "quadratic", "threshold"], ...] = (
        "linear",
        "hinge",
        "product",
    )
    """Transformations of the features."""
    beta_multiplier: float = Field(default=1.5, gt=0)
    """Strength of the regularisation."""
    background: int = Field(default=10_000, ge=1)
    """Most background rows."""
    tune: Literal[False] = False


BaselineConfig = Annotated[ForestConfig | BoostingConfig | LogisticConfig | MaxentConfig, Field(discriminator="kind")]


def baseline_files(baselines: Iterable[BaselineConfig]) -> list[str]:
    """Files of published weights that baselines read."""
    return [each.geoclip for each in baselines if isinstance(each, LogisticConfig) and each.geoclip is not None]

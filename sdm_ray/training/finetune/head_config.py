"""What joins or replaces the training by steps: a random forest, or a head by regression. Light: no torch, no Ray."""

from typing import ClassVar

from pydantic import Field, PositiveFloat

from sdm_ray.baselines.config import RIDGES, TreesConfig
from sdm_ray.config import Config

MOST_LABELS = 100_000_000
"""Of a forest, surveys x species: 0.8 GB in the double precision of trees."""
MOST_SPECIES = 1000
"""Of a forest in an ensemble: each lengthens the embedding that a map holds of a tile, 1 GB for so many."""
SOFT = ("bce", "assume_negative")
"""Losses that learn from labels between 0 and 1."""


class EnsembleConfig(TreesConfig):
    """A random forest on coordinates and covariates: the network learns from its predictions, and both are averaged.

    It is grown anew for each fold, on the surveys and, where the loss has places of its own as background, on as many
    of these for each tree, all species absent there (see `finetune.distillation`).
    """

    old_keys: ClassVar = {"teach": "distillation_weight", "vote": "ensemble_weight"}

    trees: int = Field(100, ge=50)
    distillation_weight: float | None = Field(None, ge=0, le=1)
    """Share of the forest's out-of-bag predictions in the labels that the network learns. By default 0.5 with the
    losses `bce` and `assume_negative`; with others, which take labels of 0 and 1 alone, it is 0."""
    ensemble_weight: float = Field(0.5, ge=0, lt=1)
    """Share of the forest in the logits of the model; where covariates are unknown the network predicts alone."""

    def distillation(self, loss: str) -> float:
        """The share of the forest in the labels, with a loss."""
        if self.distillation_weight is not None:
            return self.distillation_weight
        return 0.5 if loss in SOFT else 0.0


class ProbeConfig(Config):
    """A logistic regression for each species in place of training by steps, presences weighing as much as absences.

    It goes by what the encoders of the inputs give as they are, and by the covariates: z is all of it side by side.
    """

    ridge: tuple[PositiveFloat, ...] = Field(RIDGES, min_length=1)
    """Penalties to choose from for each species, by parts of the surveys."""

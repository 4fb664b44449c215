"""What fine-tuning minimises: the loss of presences and absences, with background places where there are any."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sdm_ray.models import species_losses
from sdm_ray.models.augment import Augmentation
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.training.engine.trainer import Batches
from sdm_ray.training.finetune.presence_config import PresenceConfig

SURVEYS, BACKGROUND = "surveys", "background"
"""Names of the streams."""
_TURNED, _FLIPPED = Augmentation(turns=True), Augmentation()


@dataclass(frozen=True)
class Setting:
    """How a `PresenceLoss` is made.

    Attributes:
        config: which loss.
        batch: rows of a step over all ranks.
        weight: of the presences and of the absences of each species, (2, S), where they are balanced.
    """

    config: PresenceConfig
    batch: int
    weight: Tensor | None = None


class PresenceLoss(nn.Module):
    """Loss of a species model, scaled for the mean over ranks (see `trainer.Fit`)."""

    weight: Tensor | None

    def __init__(self, model: SpeciesModel, setting: Setting) -> None:
        super().__init__()
        self.model = model
        self.setting = setting
        self.register_buffer("weight", setting.weight, persistent=False)

    def forward(self, batches: Batches, ranks: Ranks) -> Tensor:
        """This rank's part of the loss."""
        config, labels = self.setting.config, batches[SURVEYS]["labels"]
        logits = self._logits(batches[SURVEYS])
        if len(logits) == 0 and config.loss != "max_entropy":
            return logits.sum()  # of a rank without rows, where a mean is no number
        share = len(logits) * ranks.world / self.setting.batch
        if config.background is not None:
            other = self._logits(batches[BACKGROUND])
            if config.loss == "max_entropy":
                return species_losses.max_entropy(logits, labels, other, ranks)
            return species_losses.assume_negative(logits, labels, other, config.positive_weight) * share
        if self.model.config.output == "class":
            return species_losses.classes(logits, labels) * share
        if config.loss == "asymmetric":
            return species_losses.asymmetric(logits, labels, species_losses.Asymmetry()) * share
        return species_losses.bce(logits, labels, self.weight) * share

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        augmented = {}
        for scale in self.model.config.towers:
            if f"draws_{scale}" in batch:
                augmentation = _TURNED if scale == "satellite" else _FLIPPED
                augmented[f"image_{scale}"] = augmentation(batch[f"image_{scale}"], batch[f"draws_{scale}"])
        logits: Tensor = self.model(batch | augmented)
        return logits


def balanced(present: np.ndarray, absent: np.ndarray, rows: int) -> Tensor:
    """Weights (2, S) by which presences and absences of each species weigh the same, from their numbers, (S,) each.

    Over `rows` rows they sum up to one a row; a species that has only the one or the other weighs by half.
    """
    weights = [rows / (2 * np.maximum(each, 1)) * (each > 0) for each in (present, absent)]
    return torch.from_numpy(np.stack(weights)).float()

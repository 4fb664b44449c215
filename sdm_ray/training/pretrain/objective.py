"""The objective of pretraining: the weighted mean of the modalities' losses over the pairs of all ranks."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from sdm_ray.models.augment import Augmentation
from sdm_ray.models.contrastive_losses import info_nce, sigmoid
from sdm_ray.models.contrastive_model import DENSE, AlignmentModel, Pairs
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.projection import to_xy
from sdm_ray.training.engine.trainer import Batches


class AlignmentLoss(nn.Module):
    """The loss of a batch (see `trainer.Fit`).

    Args:
        model: the model to train.
        weights: weights of the modalities.
        loss: name of the contrastive loss.
        radii: of the modalities; places nearer than this, in metres, are no negatives of each other.
        augment: augmentation of each scale's images.
        batch_rows: pairs of a global batch of each modality, of which each rank has its share.
    """

    def __init__(
        self,
        model: AlignmentModel,
        weights: dict[str, float],
        loss: Literal["info_nce", "sigmoid"] = "info_nce",
        radii: Mapping[str, float] | None = None,
        augment: Mapping[str, Augmentation] | None = None,
        batch_rows: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.batch_rows = batch_rows or {}
        self.model = model
        self.weights = weights
        self.augment = augment or {}
        self.loss = loss
        self.radii = radii or {}

    def forward(self, batches: Batches, ranks: Ranks) -> Tensor:
        """The loss; its gradients are scaled for the mean over ranks."""
        pairs, regressed = self.model({name: self._augmented(batch) for name, batch in batches.items()})
        total = torch.zeros((), device=ranks.device)
        if DENSE in batches:
            rows = len(batches[DENSE]["lonlat"])
            total = total + self.weights[DENSE] * _mean_over_ranks(regressed, rows, ranks)
        for name, each in pairs.items():
            total = total + self.weights[name] * self._pair_loss(name, each, ranks)
        return total / sum(self.weights.values())

    def _augmented(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        drawn = [scale for scale in self.augment if f"draws_{scale}" in batch]
        return batch | {f"image_{s}": self.augment[s](batch[f"image_{s}"], batch[f"draws_{s}"]) for s in drawn}

    def _pair_loss(self, name: str, pairs: Pairs, ranks: Ranks) -> Tensor:
        radius_m = self.radii.get(name, 0.0)
        xy = to_xy(pairs.lonlat) if radius_m > 0 else None
        sides = (pairs.other, pairs.location, pairs.logit_scale)
        batch_rows = self.batch_rows.get(name)
        if self.loss == "sigmoid":
            assert pairs.logit_bias is not None
            one = (*sides, pairs.logit_bias, pairs.place)
            return sigmoid(*one, xy=xy, radius_m=radius_m, ranks=ranks, batch_rows=batch_rows)
        return info_nce(*sides, pairs.place, xy=xy, radius_m=radius_m, ranks=ranks, batch_rows=batch_rows)


def _mean_over_ranks(mean: Tensor, rows: int, ranks: Ranks) -> Tensor:
    """A mean over this rank's rows, weighted so that the mean over ranks is that of all rows."""
    own = torch.full((), float(rows), device=mean.device)
    return torch.nan_to_num(mean) * own * ranks.world / ranks.total(own)

"""Alignment: coordinates and the images of every scale in one space."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sdm_ray.models.config import AlignConfig
from sdm_ray.models.layers import residual_mlp
from sdm_ray.models.location import LocationEncoder
from sdm_ray.models.towers import ImageTower

COVARIATES = "covariates"
_MAX_LOGIT_SCALE = math.log(100.0)  # as in CLIP (Radford et al. 2021)


class Pairs(NamedTuple):
    """The pairs of one modality in a batch.

    Attributes:
        other: unit embeddings of the images or covariates, (M, dim).
        location: unit embeddings of their coordinates, (M, dim).
        place: number of each pair's place, (M,).
        logit_scale: 1 / temperature.
    """

    other: Tensor
    location: Tensor
    place: Tensor
    logit_scale: Tensor


class AlignmentModel(nn.Module):
    """One location encoder, one image tower for each scale, and heads into the shared space."""

    def __init__(self, config: AlignConfig) -> None:
        super().__init__()
        self.config = config
        self.location = LocationEncoder(config.location)
        self.location_head = nn.Linear(config.location.dim, config.dim)
        self.towers = nn.ModuleDict({scale: ImageTower(tower) for scale, tower in config.towers.items()})
        self.heads = nn.ModuleDict({scale: nn.Linear(t.dim, config.dim) for scale, t in config.towers.items()})
        modalities: list[str] = list(config.towers)
        if config.covariates:
            self.covariates = CovariateTower(len(config.covariates), config.dim)
            modalities.append(COVARIATES)
        start = torch.tensor(math.log(1 / config.temperature))
        self.log_scale = nn.ParameterDict({name: nn.Parameter(start.clone()) for name in modalities})

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Pairs]:
        """Embed a batch.

        Args:
            batch: `lonlat` (N, 2), `place` (N,), and for each scale `has_<scale>` (N,) with `image_<scale>` holding
                only the rows that have one, in order; `covariates` (N, C) and `has_covariates` (N,) where the model
                has that modality.

        Returns:
            The pairs of each modality.
        """
        location = normalize(self.embed_location(batch["lonlat"]), dim=-1)
        pairs = {}
        for scale in self.towers:
            has = batch[f"has_{scale}"]
            pairs[scale] = self._pairs(scale, self.embed_image(scale, batch[f"image_{scale}"]), location, batch, has)
        if self.config.covariates:
            has = batch["has_covariates"]
            other = self.covariates(batch["covariates"][has])
            pairs[COVARIATES] = self._pairs(COVARIATES, other, location, batch, has)
        return pairs

    def embed_location(self, lonlat: Tensor) -> Tensor:
        """Coordinates (N, 2) in the shared space, not normalised."""
        return self.location_head(self.location(lonlat))

    def embed_image(self, scale: str, images: Tensor) -> Tensor:
        """Images of a scale in the shared space, not normalised."""
        return self.heads[scale](self.towers[scale](images))

    def _pairs(self, name: str, other: Tensor, location: Tensor, batch: dict[str, Tensor], has: Tensor) -> Pairs:
        scale = self.log_scale[name].clamp(max=_MAX_LOGIT_SCALE).exp()
        return Pairs(normalize(other, dim=-1), location[has], batch["place"][has], scale)


class CovariateTower(nn.Module):
    """Covariates as one more modality; standardised with statistics that training sets."""

    mean: Tensor
    std: Tensor

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))
        self.network = residual_mlp(count, 256, 2, dim)

    def forward(self, values: Tensor) -> Tensor:
        """Covariates (N, C) to embeddings (N, dim)."""
        return self.network((values - self.mean) / self.std)

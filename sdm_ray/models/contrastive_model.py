"""Alignment: coordinates, the images of every scale and other knowledge of places in one space."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from sdm_ray.models.config import AlignConfig, pair_name
from sdm_ray.models.layers import Standard, residual_mlp
from sdm_ray.models.location import LocationEncoder
from sdm_ray.models.towers import ImageTower

COVARIATES, SPECIES, DENSE = "covariates", "species", "dense"
"""Modalities other than images; `DENSE` is regressed from the coordinates, the others are matched with them."""
_MAX_LOGIT_SCALE = math.log(100.0)  # as in CLIP (Radford et al. 2021)
_HIDDEN = 256


class Pairs(NamedTuple):
    """The pairs of one modality in a batch.

    Attributes:
        other: unit embeddings of the images, covariates or species, (M, dim).
        location: unit embeddings of their coordinates, or of the images of another scale, (M, dim).
        place: number of each pair's place, (M,).
        logit_scale: 1 / temperature.
        logit_bias: added to every logit of the sigmoid loss; None for other losses.
        lonlat: WGS84 degrees, (M, 2).
    """

    other: Tensor
    location: Tensor
    place: Tensor
    logit_scale: Tensor
    logit_bias: Tensor | None
    lonlat: Tensor


class AlignmentModel(nn.Module):
    """One location encoder, one tower for each modality, and heads into the shared space.

    Every forward pass takes all parameters, with zero rows of a modality as well, as data parallel training requires.
    """

    def __init__(self, config: AlignConfig) -> None:
        super().__init__()
        self.config = config
        self.location = LocationEncoder(config.location)
        self.location_head = nn.Linear(config.location.dim, config.dim)
        self.towers = nn.ModuleDict({scale: ImageTower(tower) for scale, tower in config.towers.items()})
        self.heads = nn.ModuleDict({scale: nn.Linear(t.dim, config.dim) for scale, t in config.towers.items()})
        self._paired_scales = {pair_name(scales): scales for scales in config.cross_scale_pairs}
        modalities: list[str] = [*config.towers, *self._paired_scales]
        if config.covariates:
            self.covariates = CovariateTower(len(config.covariates), config.dim)
            modalities.append(COVARIATES)
        if config.species:
            self.species = SpeciesTower(config.species, config.dim)
            modalities.append(SPECIES)
        if config.dense:
            self.dense = DenseHead(config.dim, config.dense)
        start = torch.tensor(math.log(1 / config.temperature))
        self.log_scale = nn.ParameterDict({name: nn.Parameter(start.clone()) for name in modalities})
        biased = [] if config.bias is None else modalities  # a parameter that no loss uses would stop data parallelism
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.tensor(config.bias)) for name in biased})

    def pairs(self, name: str, batch: dict[str, Tensor]) -> Pairs:
        """Embed a batch of one modality.

        Args:
            name: a scale, `covariates`, `species` or the name of two scales.
            batch: with `lonlat`, `place`, perhaps `time`, and `image_<scale>`, `covariates` or `species`; for a pair
                of scales the images of both (see `sdm_ray.batch`).
        """
        if name in self._paired_scales:
            first, second = (self.embed_image(scale, batch[f"image_{scale}"]) for scale in self._paired_scales[name])
            return self._pairs(name, batch, first, second)
        other = (
            self.embed_image(name, batch[f"image_{name}"]) if name in self.towers else getattr(self, name)(batch[name])
        )
        return self._pairs(name, batch, other, self.embed_location(batch["lonlat"], batch.get("time")))

    def _pairs(self, name: str, batch: dict[str, Tensor], other: Tensor, location: Tensor) -> Pairs:
        with torch.no_grad():  # the parameter, not its value: beyond a clamped value the gradient would be 0 for ever
            self.log_scale[name].clamp_(max=_MAX_LOGIT_SCALE)
        scale = self.log_scale[name].exp()
        bias = self.bias[name] if self.config.bias is not None else None
        sides = normalize(other, dim=-1), normalize(location, dim=-1)
        return Pairs(*sides, batch["place"], scale, bias, batch["lonlat"])

    def forward(self, batches: dict[str, dict[str, Tensor]]) -> tuple[dict[str, Pairs], Tensor]:
        """The pairs of each modality, and the error of the regression from the coordinates (0 without)."""
        pairs = {name: self.pairs(name, batch) for name, batch in batches.items() if name != DENSE}
        if DENSE not in batches:
            return pairs, torch.zeros((), device=self.location_head.weight.device)
        batch = batches[DENSE]
        return pairs, self.dense(self.embed_location(batch["lonlat"]), batch[DENSE])

    def embed_location(self, lonlat: Tensor, time: Tensor | None = None) -> Tensor:
        """Coordinates (N, 2), and times (N, 2) where known, in the shared space, not normalised."""
        return self.location_head(self.location(lonlat, time))

    def embed_image(self, scale: str, images: Tensor) -> Tensor:
        """Images of a scale in the shared space, not normalised."""
        return self.heads[scale](self.towers[scale](images))


class CovariateTower(nn.Module):
    """Covariates, standardised."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.standard = Standard(count)
        self.network = residual_mlp(count, _HIDDEN, 2, dim)

    def forward(self, values: Tensor) -> Tensor:
        """Covariates (N, C) to embeddings (N, dim)."""
        return self.network(self.standard(values))


class SpeciesTower(nn.Module):
    """Sets of species: the mean of the members' embeddings, and a network on it (Zaheer et al. 2017)."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.members = nn.Linear(count, _HIDDEN, bias=False)
        self.network = residual_mlp(_HIDDEN, _HIDDEN, 1, dim)

    def forward(self, present: Tensor) -> Tensor:
        """Presences (N, S), 0 or 1, to embeddings (N, dim)."""
        present = present.float()
        return self.network(self.members(present / present.sum(1, keepdim=True).clamp(min=1)))


class DenseHead(nn.Module):
    """Regression of dense values from the embedding of coordinates."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.standard = Standard(count)
        self.head = nn.Linear(dim, count)

    def forward(self, location: Tensor, values: Tensor) -> Tensor:
        """Mean squared error of standardised values (N, count) from embeddings (N, dim)."""
        return mse_loss(self.head(location), self.standard(values))

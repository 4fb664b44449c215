"""Fit an error model to the residuals of held-out predictions: moments of pairs, matched by weighted least squares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdm_ray.geo.grid import Floats
from sdm_ray.indicators.error_model import ErrorModel
from sdm_ray.indicators.joint_moments import Moments, pair_moments

_MOST_SPECIES, _RAREST = 400, 50  # fitted; those that the others take the mean of
MOST_VARIANCE = 0.9  # of a species' variance that may lie in fields and places
_PENALTY = 1.0  # on the mean variance: without evidence there are no errors
_STEPS = 300


@dataclass(frozen=True)
class HeldOut:
    """Predictions at surveys that neither the model nor its calibration has seen.

    Attributes:
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        probability: (N, S).
        labels: 0 or 1, (N, S).
    """

    x: Floats
    y: Floats
    probability: NDArray[np.floating]
    labels: NDArray[np.integer]

    def rows(self, chosen: NDArray[np.bool_]) -> "HeldOut":
        """Some of the surveys."""
        return HeldOut(self.x[chosen], self.y[chosen], self.probability[chosen], self.labels[chosen])


@dataclass(frozen=True)
class FitSettings:
    """How an error model is fitted.

    Attributes:
        ranges_m: of the fields, metres.
        factors: fields of each range that species share.
        pairs: of places, in each class of distance.
        seed: of pairs and starting values.
    """

    ranges_m: tuple[float, ...]
    factors: int = 4
    pairs: int = 60_000
    seed: int = 0


def fit_error_model(data: HeldOut, species: Sequence[str], settings: FitSettings) -> ErrorModel:
    """The error model whose pair moments are nearest to those of the residuals.

    Each mean product of residuals weighs by its variance under independence. Their sum over all pairs of species, which
    is what richness depends on, counts as much as all single ones together.

    Args:
        data: held-out predictions.
        species: names, (S,). Beyond the 400 commonest each has the mean errors of the rarest 50 of these.
        settings: of the fit.
    """
    order = np.argsort(-data.labels.sum(axis=0, dtype=np.int64), kind="stable")
    fitted = order[:_MOST_SPECIES]
    known = HeldOut(data.x, data.y, data.probability[:, fitted], data.labels[:, fitted])
    loading, own, site = _fit(known, settings)
    row = np.minimum(np.argsort(order), len(fitted))  # of each species; one more row is that of all others
    loading, own, site = (_with_mean(each, axis) for each, axis in ((loading, 1), (own, 1), (site, 0)))
    loading, own, site = loading[:, row], own[:, row], site[row]
    return ErrorModel(tuple(species), settings.ranges_m, loading, own, site)


def _with_mean(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Values of the species along an axis, commonest first, and after them the mean of the rarest."""
    rarest = np.take(values, range(max(0, values.shape[axis] - _RAREST), values.shape[axis]), axis)
    return np.concatenate([values, rarest.mean(axis, keepdims=True)], axis)


def _fit(data: HeldOut, settings: FitSettings) -> tuple[NDArray[np.float32], ...]:
    """Loadings (R, S, K), variances of a species alone (R, S) and loadings of a place (S, K)."""
    how = {"pairs": settings.pairs, "seed": settings.seed}
    moments = pair_moments(data.x, data.y, data.probability, data.labels, **how)
    targets = [_Target.of(each, settings.ranges_m) for each in moments]
    parameters = _start(data.labels.shape[1], settings)
    optimiser = torch.optim.Adam(parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        loading, own, site = _bounded(*parameters)
        variance = ((loading**2).sum((0, 2)) + own.sum(0) + (site**2).sum(1)).mean()
        loss = torch.stack([each.loss(loading, own, site) for each in targets]).sum() + _PENALTY * variance
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return tuple(each.numpy() for each in _bounded(*parameters))


@dataclass(frozen=True)
class _Target:
    """Moments of one class of distance as tensors.

    Attributes:
        decay: correlation of each range's fields at this distance, (R,).
        here: whether it is one place with itself, where only pairs of two species count.
    """

    decay: Tensor
    here: bool
    products: Tensor
    series: Tensor
    variance: Tensor

    @classmethod
    def of(cls, moments: Moments, ranges_m: Sequence[float]) -> "_Target":
        decay = np.exp(-moments.distance_m / np.array(ranges_m))
        parts = (decay, moments.products, moments.series, moments.variance)
        decay_, products, series, variance = (torch.from_numpy(np.asarray(each, np.float32)) for each in parts)
        return cls(decay_, moments.distance_m == 0, products, series, variance)

    def loss(self, loading: Tensor, own: Tensor, site: Tensor) -> Tensor:
        correlation = torch.einsum("r,rsk,rtk->st", self.decay, loading, loading)
        correlation = correlation + torch.diag(self.decay @ own)
        keep = torch.ones_like(correlation)
        if self.here:
            correlation = correlation + site @ site.T
            keep.fill_diagonal_(0)
        power, expected = torch.ones_like(correlation), torch.zeros_like(correlation)
        for term in self.series:
            power = power * correlation
            expected = expected + power * term
        off = (self.products - expected) * keep
        single = (off**2 / self.variance.clamp(min=1e-30)).mean()
        together = off.sum() ** 2 / (self.variance * keep).sum()
        return single + together


def _start(species: int, settings: FitSettings) -> tuple[Tensor, Tensor, Tensor]:
    torch_seed = torch.Generator().manual_seed(settings.seed)
    ranges, factors = len(settings.ranges_m), settings.factors
    loading = 0.1 * torch.randn(ranges, species, factors, generator=torch_seed)
    own = torch.full((ranges, species), 0.1)
    site = 0.1 * torch.randn(species, factors, generator=torch_seed)
    return loading.requires_grad_(), own.requires_grad_(), site.requires_grad_()


def _bounded(loading: Tensor, own: Tensor, site: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters whose variances come to at most `MOST_VARIANCE` for each species; `own` comes as a deviation."""
    total = (loading**2).sum((0, 2)) + (own**2).sum(0) + (site**2).sum(1)
    shrink = torch.clamp(MOST_VARIANCE / total.clamp(min=1e-12), max=1).sqrt()
    return loading * shrink[:, None], (own * shrink) ** 2, site * shrink[:, None]

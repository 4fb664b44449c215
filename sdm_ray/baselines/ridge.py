"""Logistic regressions with a ridge penalty, one for each species, all fitted at once."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sdm_ray.baselines.batched_lbfgs import MEMORY, minimise
from sdm_ray.models.species_losses import UNKNOWN

_NUMBERS_AT_ONCE = 1 << 26  # of labels, and of what fits remember; there are some copies of 0.3 GB each
_TOLERANCE = 1e-7  # of losses, which begin near log(2)
_PARTS = 5
_HELD_OUT = 10_000
"""Rows that are enough to choose penalties by."""


class Regressions:
    """Weighted logistic regressions on some rows, each fit starting where the one before has ended.

    They are fitted along the principal axes of the features, each scaled by how much the loss of a species curves
    there: on features that resemble each other, as waves of a place do, that takes far fewer steps.

    Args:
        x: standardised features, (N, F).
        y: 0 or 1, (N, S).
        weight: of each label, (N, S), summing to about 1 for a species.
    """

    def __init__(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        self._axes = torch.linalg.eigh((x.T @ x / max(len(x), 1)).double())[1].float()
        self._x, self._y, self._weight = x @ self._axes, y, weight
        self._along, self._bias = torch.zeros(x.shape[1], y.shape[1]), torch.zeros(y.shape[1])

    def fit(self, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix (F, S) and bias (S,) by penalties (S,) of the squared matrix."""
        scale, level = self._scales(ridge)

        def losses(scaled: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
            y, weight = self._y[:, which], self._weight[:, which]
            along, penalty = scaled[:-1] * scale[:, which], ridge[which]
            logits = torch.addmm(scaled[-1] * level[which], self._x, along)
            loss = _losses(logits, y, weight).sum(0) + (penalty * along**2).sum(0)
            error = weight * (torch.sigmoid(logits) - y)
            uphill = (self._x.T @ error + 2 * penalty * along) * scale[:, which]
            return loss, torch.cat([uphill, (error.sum(0) * level[which])[None]])

        found = minimise(losses, torch.cat([self._along / scale, (self._bias / level)[None]]), _TOLERANCE)
        self._along, self._bias = found[:-1] * scale, found[-1] * level
        return self._axes @ self._along, self._bias

    def _scales(self, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """By which steps along the axes, (F, S), and of the bias, (S,), change the loss about equally."""
        said = torch.sigmoid(self._x @ self._along + self._bias)
        curve = self._weight * said * (1 - said)
        return torch.rsqrt((self._x**2).T @ curve + 2 * ridge), torch.rsqrt(curve.sum(0).clamp(min=1e-3))


def best(x: Tensor, labels: Tensor, ridges: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Matrix (F, S) and bias (S,) of the regressions by the penalty that suits each species.

    Presences weigh as much as absences. As many species as memory is sure to hold are fitted together.

    Args:
        x: standardised features, (N, F).
        labels: 0, 1 or `models.presence.UNKNOWN`, uint8 (N, S).
        ridges: penalties to choose from.
    """
    found = []
    numbers = len(labels) + 2 * MEMORY * x.shape[1]
    for some in labels.split(max(1, _NUMBERS_AT_ONCE // numbers), dim=1):
        y, known = (some == 1).float(), some != UNKNOWN
        sides = [y * known, (1 - y) * known]
        weight = torch.stack([side / (2 * side.sum(0).clamp(min=1)) for side in sides]).sum(0)
        found.append(Regressions(x, y, weight).fit(_chosen(x, y, weight, sorted(ridges, reverse=True))))
    return torch.cat([matrix for matrix, _ in found], 1), torch.cat([bias for _, bias in found])


def _chosen(x: Tensor, y: Tensor, weight: Tensor, ridges: Sequence[float]) -> Tensor:
    """The penalty of each species, (S,), that does best on parts of the rows when the others are learnt from.

    What a few presences say of it is uncertain, so the mean of all species counts twice beside their own loss. Only
    species that are present on both sides of a part say anything; where there are none, the strongest is taken.

    Args:
        x: standardised features, (N, F).
        y: 0 or 1, (N, S).
        weight: of each label, (N, S).
        ridges: from the strongest to the weakest; what is weaker than suits any species is not tried.
    """
    chosen, lowest = torch.full((y.shape[1],), ridges[0]), torch.full((y.shape[1],), math.inf)
    if len(ridges) == 1:
        return chosen
    enough = min(_PARTS, math.ceil(_PARTS * _HELD_OUT / len(y)))
    parts = [torch.arange(len(y)) % _PARTS == part for part in range(enough)]
    telling = torch.stack([y[held].any(0) & y[~held].any(0) for held in parts])
    fits = [Regressions(x[~held], y[~held], weight[~held]) for held in parts]
    for ridge in ridges:
        own = torch.zeros_like(lowest)
        for held, tells, fit in zip(parts, telling, fits, strict=True):
            matrix, bias = fit.fit(torch.full_like(chosen, ridge))
            own += tells * _losses(x[held] @ matrix + bias, y[held], weight[held]).sum(0)
        loss = own + 2 * own.sum() / telling.any(0).sum().clamp(min=1)
        better = loss < lowest
        if not better.any():
            break
        chosen[better], lowest[better] = ridge, loss[better]
    return chosen


def _losses(logits: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, y, weight, reduction="none")

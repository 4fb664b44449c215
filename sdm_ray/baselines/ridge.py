"""Ridge logistic regressions, one for each species, all fitted at once."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sdm_ray.baselines.batched_lbfgs import MEMORY, minimise
from sdm_ray.models.species_losses import UNKNOWN

_NUMBERS_AT_ONCE = 1 << 26  # of labels and of L-BFGS; there are some copies of 0.3 GB each
_TOLERANCE = 1e-7  # of losses, which begin near log(2)
_PARTS = 5  # of the cross-validation that chooses penalties
_HELD_OUT = 10_000
"""Held-out rows that are enough to choose penalties."""


class Regressions:
    """Weighted ridge logistic regressions; each fit starts from the solution of the fit before.

    Coefficients are along the principal axes of the features, each scaled by the curvature of a species' loss along it
    (a diagonal preconditioner): with correlated features, such as Fourier features, that takes far fewer steps.

    Args:
        x: standardised features, (N, F).
        y: 0 or 1, (N, S).
        weight: of each label, (N, S), summing to about 1 for each species.
    """

    def __init__(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        self._axes = torch.linalg.eigh((x.T @ x / max(len(x), 1)).double())[1].float()
        self._x, self._y, self._weight = x @ self._axes, y, weight
        self._along, self._bias = torch.zeros(x.shape[1], y.shape[1]), torch.zeros(y.shape[1])

    def fit(self, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (F, S) and intercepts (S,) with penalties (S,) of the squared coefficients."""
        scale, level = self._scales(ridge)

        def losses(scaled: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
            y, weight = self._y[:, which], self._weight[:, which]
            along, penalty = scaled[:-1] * scale[:, which], ridge[which]
            logits = torch.addmm(scaled[-1] * level[which], self._x, along)
            loss = _losses(logits, y, weight).sum(0) + (penalty * along**2).sum(0)
            error = weight * (torch.sigmoid(logits) - y)
            gradient = (self._x.T @ error + 2 * penalty * along) * scale[:, which]
            return loss, torch.cat([gradient, (error.sum(0) * level[which])[None]])

        found = minimise(losses, torch.cat([self._along / scale, (self._bias / level)[None]]), _TOLERANCE)
        self._along, self._bias = found[:-1] * scale, found[-1] * level
        return self._axes @ self._along, self._bias

    def _scales(self, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Scales of the coefficients, (F, S), and intercepts, (S,), at which the loss has about unit curvature."""
        p = torch.sigmoid(self._x @ self._along + self._bias)
        curve = self._weight * p * (1 - p)
        return torch.rsqrt((self._x**2).T @ curve + 2 * ridge), torch.rsqrt(curve.sum(0).clamp(min=1e-3))


def best(x: Tensor, labels: Tensor, ridges: Sequence[float], groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Coefficients (F, S) and intercepts (S,) with the best penalty for each species.

    Presences weigh as much as absences. Species are fitted in groups that fit into memory.

    Args:
        x: standardised features, (N, F).
        labels: 0, 1 or `models.species_losses.UNKNOWN`, uint8 (N, S).
        ridges: penalties to choose from.
        groups: number of each row's group, such as its spatial block, int64 (N,); the rows that choose a penalty and
            those that are learnt from share no group. By default each row is one, which suits independent rows.
    """
    found = []
    part_of = _parts(torch.arange(len(labels)) if groups is None else groups)
    numbers = len(labels) + 2 * MEMORY * x.shape[1]
    for some in labels.split(max(1, _NUMBERS_AT_ONCE // numbers), dim=1):
        y, known = (some == 1).float(), some != UNKNOWN
        sides = [y * known, (1 - y) * known]
        weight = torch.stack([side / (2 * side.sum(0).clamp(min=1)) for side in sides]).sum(0)
        found.append(Regressions(x, y, weight).fit(_chosen(x, y, weight, sorted(ridges, reverse=True), part_of)))
    return torch.cat([matrix for matrix, _ in found], 1), torch.cat([bias for _, bias in found])


def _parts(groups: Tensor) -> Tensor:
    """The part, 0 to `_PARTS` - 1, of each row; groups by turns, the largest first, so that parts are alike in size."""
    _, number, count = torch.unique(groups, return_inverse=True, return_counts=True)
    rank = torch.empty_like(count)
    rank[count.argsort(descending=True, stable=True)] = torch.arange(len(count))
    return rank[number] % _PARTS


def _chosen(x: Tensor, y: Tensor, weight: Tensor, ridges: Sequence[float], part_of: Tensor) -> Tensor:
    """The penalty of each species, (S,), with the lowest held-out loss in cross-validation.

    With few presences a species' own loss is uncertain, so twice the mean loss of all species is added to it. A part
    counts for the species that are present both in it and outside of it; a species without such a part takes the
    strongest penalty.

    Args:
        x: standardised features, (N, F).
        y: 0 or 1, (N, S).
        weight: of each label, (N, S).
        ridges: from the strongest to the weakest; the search ends where a weaker one suits no species.
        part_of: part of each row, (N,).
    """
    chosen, lowest = torch.full((y.shape[1],), ridges[0]), torch.full((y.shape[1],), math.inf)
    if len(ridges) == 1:
        return chosen
    enough = min(_PARTS, math.ceil(_PARTS * _HELD_OUT / len(y)))
    parts = [part_of == part for part in range(enough)]
    usable = torch.stack([y[held_out].any(0) & y[~held_out].any(0) for held_out in parts])
    fits = [Regressions(x[~held_out], y[~held_out], weight[~held_out]) for held_out in parts]
    for ridge in ridges:
        own = torch.zeros_like(lowest)
        for held_out, counts, fit in zip(parts, usable, fits, strict=True):
            matrix, bias = fit.fit(torch.full_like(chosen, ridge))
            own += counts * _losses(x[held_out] @ matrix + bias, y[held_out], weight[held_out]).sum(0)
        loss = own + 2 * own.sum() / usable.any(0).sum().clamp(min=1)
        better = loss < lowest
        if not better.any():
            break
        chosen[better], lowest[better] = ridge, loss[better]
    return chosen


def _losses(logits: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, y, weight, reduction="none")

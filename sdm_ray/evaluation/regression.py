"""Logistic regressions with a ridge penalty, one for each species, all fitted at once."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sdm_ray.models.presence import UNKNOWN

_LABELS_AT_ONCE = 1 << 26  # surveys x species, of which there are some copies of 0.3 GB each
_PARTS = 5
_HELD_OUT = 10_000
"""Rows that are enough to choose penalties by."""


class Regressions:
    """Weighted logistic regressions on some rows, each fit starting where the one before has ended.

    L-BFGS goes along the principal axes of the features, each scaled by the most that loss and penalty can curve
    there. On features that resemble each other, as waves of a place do, it needs half the steps of plain L-BFGS.

    Args:
        x: standardised features, (N, F).
        y: 0 or 1, (N, S).
        weight: of each label, (N, S), summing to about 1 for a species.
    """

    def __init__(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        variance, axes = torch.linalg.eigh((x.T @ x / max(len(x), 1)).double())
        self._curvature = variance.clamp(min=0).float()[:, None] / 4
        self._axes = axes.float()
        self._x, self._y, self._weight = x @ self._axes, y, weight
        self._along, self._bias = torch.zeros(x.shape[1], y.shape[1]), torch.zeros(y.shape[1])

    def fit(self, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix (F, S) and bias (S,) by penalties (S,) of the squared matrix."""
        scale = torch.rsqrt(self._curvature + 2 * ridge)
        scaled = (self._along / scale).requires_grad_()
        bias = self._bias.clone().requires_grad_()
        solver = torch.optim.LBFGS([scaled, bias], max_iter=200, history_size=10, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            solver.zero_grad()
            along = scaled * scale
            loss = _losses(self._x @ along + bias, self._y, self._weight).sum() + (ridge * along**2).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        solver.step(closure)
        self._along, self._bias = (scaled * scale).detach(), bias.detach()
        return self._axes @ self._along, self._bias


def best(x: Tensor, labels: Tensor, ridges: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Matrix (F, S) and bias (S,) of the regressions by the penalty that suits each species.

    Presences weigh as much as absences. As many species as memory is sure to hold are fitted together.

    Args:
        x: standardised features, (N, F).
        labels: 0, 1 or `models.presence.UNKNOWN`, uint8 (N, S).
        ridges: penalties to choose from.
    """
    found = []
    for some in labels.split(max(1, _LABELS_AT_ONCE // len(labels)), dim=1):
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

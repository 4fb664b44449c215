"""Contrastive losses over the pairs of all ranks.

Pair losses take the features of one rank and return the loss over the pairs of all ranks. Logits are computed
tile by tile and discarded; only their row and column log-sum-exps are kept, and the backward pass computes the
tiles again. Every rank derives the exact gradient of its own features from the gathered log-sum-exps, so that no
feature gradients are exchanged.

Gradients are scaled by the number of ranks: after the mean over ranks that data parallel training takes, they
are those of the global loss.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from sdm_ray.models.distributed import ALONE, Ranks


def info_nce(
    image: Tensor,
    location: Tensor,
    logit_scale: Tensor,
    place: Tensor,
    *,
    xy: Tensor | None = None,
    radius_m: float = 0.0,
    ranks: Ranks = ALONE,
    batch_rows: int | None = None,
    tile: int = 2048,
) -> Tensor:
    """Symmetric InfoNCE over the pairs of all ranks, exact.

    All pairs of one place are positives of each other, and the loss is the mean of the log-probabilities over them
    (van den Oord et al. 2018; Khosla et al. 2020, equation 2).

    Args:
        image: unit features of this rank's images, (n, D).
        location: unit features of their coordinates, (n, D).
        logit_scale: 1 / temperature, a scalar.
        place: number of each pair's place, (n,).
        xy: EPSG:3035 metres of each pair, (n, 2); needed where `radius_m` is positive.
        radius_m: pairs of other places nearer than this are not used as negatives.
        ranks: this process among the others.
        batch_rows: pairs of the global batch, where each rank has its share of them: then their numbers need not be
            exchanged, for which a GPU's process would wait.
        tile: side of the logit tiles.

    Returns:
        The loss over the pairs of all ranks, the same scalar on each; 0 where no rank has a pair.
    """
    counts = ranks.counts(len(place), batch_rows)
    setting = _Setting(place, xy if radius_m > 0 else None, radius_m, ranks, tile, counts)
    with _exact(image):
        loss: Tensor = _InfoNCE.apply(image, location, logit_scale, setting)
    return loss


def sigmoid(
    image: Tensor,
    location: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    place: Tensor,
    *,
    xy: Tensor | None = None,
    radius_m: float = 0.0,
    ranks: Ranks = ALONE,
    batch_rows: int | None = None,
    tile: int = 2048,
) -> Tensor:
    """Sigmoid loss over the pairs of all ranks, exact: every combination of image and place is a binary label.

    The sum over all N x N combinations divided by N (Zhai et al. 2023, SigLIP, equation 1). Combinations of
    one place are positive, each counted once.

    Args:
        image: unit features of this rank's images, (n, D).
        location: unit features of their coordinates, (n, D).
        logit_scale: 1 / temperature, a scalar; 10 to start with in SigLIP.
        logit_bias: added to every logit, a scalar; -10 to start with in SigLIP.
        place: number of each pair's place, (n,).
        xy: EPSG:3035 metres of each pair, (n, 2); needed where `radius_m` is positive.
        radius_m: combinations of other places nearer than this do not count.
        ranks: this process among the others.
        batch_rows: pairs of the global batch, where each rank has its share of them: then their numbers need not be
            exchanged, for which a GPU's process would wait.
        tile: side of the logit tiles.

    Returns:
        The loss over the pairs of all ranks, the same scalar on each; 0 where no rank has a pair.
    """
    counts = ranks.counts(len(place), batch_rows)
    setting = _Setting(place, xy if radius_m > 0 else None, radius_m, ranks, tile, counts)
    with _exact(image):
        loss: Tensor = _Sigmoid.apply(image, location, logit_scale, logit_bias, setting)
    return loss


@dataclass(frozen=True)
class _Setting:
    place: Tensor
    xy: Tensor | None
    radius_m: float
    ranks: Ranks
    tile: int
    counts: list[int]

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The rows of every rank."""
        return self.ranks.gather(rows, self.counts)


@dataclass(frozen=True)
class _Side:
    """The rows or the columns of the logits: features and what belongs to them."""

    features: Tensor
    place: Tensor
    positives: Tensor  # how many pairs each place has, over all ranks
    lse: Tensor
    xy: Tensor | None

    def __getitem__(self, rows: slice) -> "_Side":
        xy = None if self.xy is None else self.xy[rows]
        return _Side(self.features[rows], self.place[rows], self.positives[rows], self.lse[rows], xy)

    def __len__(self) -> int:
        return len(self.features)


_FIELDS = ("features", "place", "positives", "lse", "xy")


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, location: Tensor, scale: Tensor, setting: _Setting) -> Tensor:  # noqa: ANN401
        ranks = setting.ranks
        rows, cols, own = _collect(image, location, setting)
        row_lse, col_part, matched = _statistics(rows[own], cols, scale, setting)
        row_lse = torch.cat(setting.gather(row_lse))
        col_lse = torch.logsumexp(torch.cat(ranks.gather(col_part[None], [1] * ranks.world)), 0)
        count = max(len(rows), 1)
        _keep(ctx, replace(rows, lse=row_lse), replace(cols, lse=col_lse), own, setting, scale)
        return (row_lse.sum() + col_lse.sum() - 2 * ranks.total(matched)) / (2 * count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        def slope(rows: _Side, cols: _Side, logits: Tensor, same: Tensor) -> Tensor:
            by_row = torch.exp(logits - rows.lse[:, None])
            return by_row.add_(torch.exp(logits - cols.lse[None])).sub_(same * (2 / rows.positives[:, None]))

        *sides, (scale,) = _kept(ctx)
        image, location, scale, _ = _own_gradients(ctx, slope, sides, scale, torch.zeros_like(scale))
        factor = grads[0] * ctx.setting.ranks.world / (2 * ctx.count)
        return image * factor, location * factor, scale * factor, None


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        image: Tensor,
        location: Tensor,
        scale: Tensor,
        bias: Tensor,
        setting: _Setting,
    ) -> Tensor:
        rows, cols, own = _collect(image, location, setting)
        mine = rows[own]
        cost = torch.zeros((), dtype=rows.features.dtype, device=image.device)
        for r in _slices(len(mine), setting.tile):
            for c in _slices(len(cols), setting.tile):
                logits, same = _tile(mine[r], cols[c], scale, bias, setting)
                cost += softplus(torch.where(same, -logits, logits)).sum()
        _keep(ctx, rows, cols, own, setting, scale, bias)
        return setting.ranks.total(cost) / max(len(rows), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        def slope(rows: _Side, cols: _Side, logits: Tensor, same: Tensor) -> Tensor:
            return torch.sigmoid(logits) - same.to(logits.dtype)

        *sides, (scale, bias) = _kept(ctx)
        image, location, scale, bias = _own_gradients(ctx, slope, sides, scale, bias)
        factor = grads[0] * ctx.setting.ranks.world / ctx.count
        return image * factor, location * factor, scale * factor, bias * factor, None


Slope = Callable[[_Side, _Side, Tensor, Tensor], Tensor]
"""The gradient of a loss for a tile of logits, from its rows, columns, logits and which of them are positive."""


def _collect(image: Tensor, location: Tensor, setting: _Setting) -> tuple[_Side, _Side, slice]:
    """All ranks' images and coordinates, and which rows are this rank's. Sums are taken in float32 at least."""
    images, locations = setting.gather(image.detach()), setting.gather(location.detach())
    before = sum(setting.counts[: setting.ranks.rank])
    own = slice(before, before + len(image))
    wide = torch.promote_types(torch.promote_types(image.dtype, location.dtype), torch.float32)
    place = torch.cat(setting.gather(setting.place))
    xy = None if setting.xy is None else torch.cat(setting.gather(setting.xy))
    positives = _count_equal(place).to(wide)
    unknown = torch.full((len(place),), -torch.inf, dtype=wide, device=place.device)
    rows = _Side(torch.cat(images).to(wide), place, positives, unknown, xy)
    return rows, replace(rows, features=torch.cat(locations).to(wide)), own


def _keep(ctx: Any, rows: _Side, cols: _Side, own: slice, setting: _Setting, *numbers: Tensor) -> None:  # noqa: ANN401
    """Save what the backward pass needs: features and a few numbers for each row and column, no logits."""
    ctx.own, ctx.setting, ctx.count = own, setting, max(len(rows), 1)
    ctx.save_for_backward(*(getattr(side, name) for side in (rows, cols) for name in _FIELDS), *numbers)


def _kept(ctx: Any) -> tuple[_Side, _Side, tuple[Tensor, ...]]:  # noqa: ANN401
    found, n = ctx.saved_tensors, len(_FIELDS)
    return _Side(*found[:n]), _Side(*found[n : 2 * n]), found[2 * n :]


def _own_gradients(
    ctx: Any,  # noqa: ANN401
    slope: Slope,
    sides: list[_Side],
    scale: Tensor,
    bias: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of the sum over all tiles for this rank's images and coordinates; its share for scale and bias."""
    (rows, cols), own, setting = sides, ctx.own, ctx.setting
    with _exact(rows.features):
        alone = setting.ranks.world == 1
        image, location, *rest = _gradients(rows[own], cols, scale, bias, setting, slope, both=alone)
        if not alone:  # the columns that are ours against the rows of everyone: slopes are the same transposed
            location, *_ = _gradients(cols[own], rows, scale, bias, setting, slope, both=False)
        return image, location, *rest


def _statistics(rows: _Side, cols: _Side, scale: Tensor, setting: _Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sum-exp of each row, of each column over these rows, and the mean positive logits summed over rows."""
    row_lse, col_lse = torch.full_like(rows.lse, -torch.inf), torch.full_like(cols.lse, -torch.inf)
    matched = torch.zeros((), dtype=row_lse.dtype, device=row_lse.device)
    for r in _slices(len(rows), setting.tile):
        for c in _slices(len(cols), setting.tile):
            logits, same = _tile(rows[r], cols[c], scale, 0.0, setting)
            row_lse[r] = torch.logaddexp(row_lse[r], torch.logsumexp(logits, 1))
            col_lse[c] = torch.logaddexp(col_lse[c], torch.logsumexp(logits, 0))
            matched += (torch.where(same, logits, 0).sum(1) / rows.positives[r]).sum()
    return row_lse, col_lse, matched


def _gradients(
    rows: _Side, cols: _Side, scale: Tensor, bias: Tensor, setting: _Setting, slope: Slope, *, both: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for the features of the rows, of the columns if `both`, for the scale and for the bias."""
    grad_rows, grad_cols = torch.zeros_like(rows.features), torch.zeros_like(cols.features)
    grad_scale, grad_bias = torch.zeros_like(rows.features[:0].sum()), torch.zeros_like(rows.features[:0].sum())
    for r in _slices(len(rows), setting.tile):
        for c in _slices(len(cols), setting.tile):
            logits, same = _tile(rows[r], cols[c], scale, bias, setting)
            grad = slope(rows[r], cols[c], logits, same)
            grad_scale += (grad * torch.where(torch.isinf(logits), 0, logits - bias)).sum() / scale
            grad_bias += grad.sum()
            grad_rows[r] += grad @ cols.features[c]
            if both:
                grad_cols[c] += grad.T @ rows.features[r]
    return grad_rows * scale, grad_cols * scale, grad_scale, grad_bias


def _tile(rows: _Side, cols: _Side, scale: Tensor, bias: Tensor | float, setting: _Setting) -> tuple[Tensor, Tensor]:
    logits = rows.features @ cols.features.T * scale + bias
    same = rows.place[:, None] == cols.place[None, :]
    if rows.xy is not None and cols.xy is not None:
        # By differences: through a matrix product, metres of EPSG:3035 in float32 would be wrong by kilometres.
        far = torch.cdist(rows.xy, cols.xy, compute_mode="donot_use_mm_for_euclid_dist") >= setting.radius_m
        logits = logits.masked_fill(~(far | same), -torch.inf)
    return logits, same


def _exact(features: Tensor) -> torch.autocast:
    """No automatic mixed precision, in which the backward pass would not see the logits of the forward pass."""
    return torch.autocast(features.device.type, enabled=False)


def _slices(length: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, length)) for start in range(0, length, tile)]


def _count_equal(place: Tensor) -> Tensor:
    ordered = torch.sort(place).values  # how many places are distinct would have to be read from the device
    return torch.searchsorted(ordered, place, right=True) - torch.searchsorted(ordered, place)

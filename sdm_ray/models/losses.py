"""Losses: pair matching over all workers' pairs, and species presence.

Pair losses take the features of one worker and return the loss over the pairs of all workers. Logits are computed
tile by tile and thrown away; only their row and column log-sum-exps are kept, and the backward pass computes the
tiles again. Every worker derives the exact gradient of its own features from the gathered log-sum-exps, so that no
feature gradients are exchanged.

Gradients are scaled by the number of workers: after the mean over workers that data parallel training takes, they
are those of the global loss.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


@dataclass(frozen=True)
class Workers:
    """Who takes part: all workers hold rows of one global batch.

    Attributes:
        rank: number of this worker.
        world_size: number of workers; 1 needs no process group.
        group: the process group, None for the default one.
    """

    rank: int = 0
    world_size: int = 1
    group: Any = None

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The rows of every worker, which may differ in number; without gradient."""
        if self.world_size == 1:
            return [rows]
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.world_size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device), group=self.group)
        longest = int(max(counts))
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded.contiguous(), group=self.group)
        return [part[: int(count)] for part, count in zip(parts, counts, strict=True)]

    def total(self, value: Tensor) -> Tensor:
        """The sum over workers."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value, group=self.group)
        return value


def info_nce(
    image: Tensor,
    location: Tensor,
    logit_scale: Tensor,
    place: Tensor,
    *,
    xy: Tensor | None = None,
    radius_m: float = 0.0,
    workers: Workers = Workers(),
    tile: int = 2048,
) -> Tensor:
    """Symmetric InfoNCE over the pairs of all workers, exact.

    All pairs of one place are positives of each other, and the loss is the mean of the log-probabilities over them
    (van den Oord et al. 2018; Khosla et al. 2020, equation 2).

    Args:
        image: unit features of this worker's images, (n, D).
        location: unit features of their coordinates, (n, D).
        logit_scale: 1 / temperature, a scalar.
        place: number of each pair's place, (n,).
        xy: EPSG:3035 metres of each pair, (n, 2); needed where `radius_m` is positive.
        radius_m: pairs of other places nearer than this are not used as negatives.
        workers: who takes part.
        tile: side of the logit tiles.

    Returns:
        The loss over all workers' pairs, the same scalar on each.
    """
    setting = _Setting(place, xy if radius_m > 0 else None, radius_m, workers, tile)
    loss: Tensor = _InfoNCE.apply(image, location, logit_scale, setting)  # type: ignore[no-untyped-call]
    return loss


def bce(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, mean over rows and species: absences are taken as they stand ("assume negative").

    Args:
        logits: (N, S).
        labels: 0 or 1, (N, S).
        weight: of each species, (S,).
    """
    return binary_cross_entropy_with_logits(logits.float(), labels.float(), weight=weight)


@dataclass(frozen=True)
class _Setting:
    place: Tensor
    xy: Tensor | None
    radius_m: float
    workers: Workers
    tile: int


@dataclass(frozen=True)
class _Side:
    """The rows or the columns of the logits: features and what belongs to them."""

    features: Tensor
    place: Tensor
    xy: Tensor | None
    positives: Tensor  # how many pairs each place has, all workers
    lse: Tensor

    def __getitem__(self, rows: slice) -> "_Side":
        xy = None if self.xy is None else self.xy[rows]
        return _Side(self.features[rows], self.place[rows], xy, self.positives[rows], self.lse[rows])

    def __len__(self) -> int:
        return len(self.features)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, location: Tensor, scale: Tensor, setting: _Setting) -> Tensor:  # noqa: ANN401
        workers = setting.workers
        images, locations = workers.gather(image.detach()), workers.gather(location.detach())
        places = workers.gather(setting.place)
        xys = None if setting.xy is None else workers.gather(setting.xy)
        own = slice(sum(map(len, images[: workers.rank])), sum(map(len, images[: workers.rank + 1])))
        place = torch.cat(places)
        xy = None if xys is None else torch.cat(xys)
        positives = _count_equal(place).to(_wide(image))
        unknown = torch.full((len(place),), -torch.inf, device=place.device)
        rows = _Side(torch.cat(images), place, xy, positives, unknown)
        cols = _Side(torch.cat(locations), place, xy, positives, unknown)
        row_lse, col_part, matched = _statistics(rows[own], cols, scale, setting)
        row_lse = torch.cat(workers.gather(row_lse))
        col_lse = torch.logsumexp(torch.stack(workers.gather(col_part[None])).flatten(0, 1), 0)
        count = len(place)
        loss = (row_lse.sum() + col_lse.sum() - 2 * workers.total(matched)) / (2 * count)
        ctx.setting, ctx.own, ctx.count = setting, own, count
        ctx.with_xy = xy is not None
        kept = [rows.features, cols.features, place, positives, row_lse, col_lse, scale]
        ctx.save_for_backward(*kept, *([xy] if xy is not None else []))
        return loss.to(image.dtype) if image.dtype == torch.float64 else loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        images, locations, place, positives, row_lse, col_lse, scale, *rest = ctx.saved_tensors
        xy = rest[0] if ctx.with_xy else None
        rows = _Side(images, place, xy, positives, row_lse)
        cols = _Side(locations, place, xy, positives, col_lse)
        own, setting = ctx.own, ctx.setting
        alone = setting.workers.world_size == 1
        grad_image, grad_location, grad_scale = _gradients(rows[own], cols, scale, setting, both=alone)
        if not alone:  # the columns that are ours, against the rows of everyone
            grad_location, _, _ = _gradients(cols[own], rows, scale, setting, both=False)
        factor = grads[0] * setting.workers.world_size / (2 * ctx.count)
        return grad_image * factor, grad_location * factor, grad_scale * factor, None


def _statistics(rows: _Side, cols: _Side, scale: Tensor, setting: _Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sum-exp of each row, of each column over these rows, and the mean positive logits summed over rows."""
    row_lse, col_lse = torch.full_like(rows.lse, -torch.inf), torch.full_like(cols.lse, -torch.inf)
    row_lse, col_lse = row_lse.to(_wide(rows.features)), col_lse.to(_wide(rows.features))
    matched = torch.zeros((), dtype=row_lse.dtype, device=row_lse.device)
    for r in _slices(len(rows), setting.tile):
        for c in _slices(len(cols), setting.tile):
            logits, same = _tile(rows[r], cols[c], scale, setting)
            row_lse[r] = torch.logaddexp(row_lse[r], torch.logsumexp(logits, 1))
            col_lse[c] = torch.logaddexp(col_lse[c], torch.logsumexp(logits, 0))
            matched += (torch.where(same, logits, 0).sum(1) / rows.positives[r]).sum()
    return row_lse, col_lse, matched


def _gradients(
    rows: _Side, cols: _Side, scale: Tensor, setting: _Setting, *, both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of 2 N times the loss for the features of the rows, of the columns if `both`, and for the scale."""
    wide = _wide(rows.features)
    grad_rows = torch.zeros_like(rows.features, dtype=wide)
    grad_cols = torch.zeros_like(cols.features, dtype=wide)
    grad_scale = torch.zeros((), dtype=wide, device=scale.device)
    for r in _slices(len(rows), setting.tile):
        for c in _slices(len(cols), setting.tile):
            logits, same = _tile(rows[r], cols[c], scale, setting)
            by_row = torch.exp(logits - rows.lse[r, None])
            grad = by_row.add_(torch.exp(logits - cols.lse[None, c]))
            grad -= same * (2 / rows.positives[r, None])
            grad_scale += (grad * torch.where(torch.isinf(logits), 0, logits)).sum() / scale
            grad = grad.to(rows.features.dtype)
            grad_rows[r] += (grad @ cols.features[c]).to(wide)
            if both:
                grad_cols[c] += (grad.T @ rows.features[r]).to(wide)
    kind = rows.features.dtype
    return (grad_rows * scale).to(kind), (grad_cols * scale).to(kind), grad_scale.to(scale.dtype)


def _tile(rows: _Side, cols: _Side, scale: Tensor, setting: _Setting) -> tuple[Tensor, Tensor]:
    logits = (rows.features @ cols.features.T).to(_wide(rows.features)) * scale
    same = rows.place[:, None] == cols.place[None, :]
    if rows.xy is not None and cols.xy is not None:
        near = torch.cdist(rows.xy, cols.xy) < setting.radius_m
        logits = logits.masked_fill(near & ~same, -torch.inf)
    return logits, same


def _wide(features: Tensor) -> torch.dtype:
    """Sums are taken in float32 at least."""
    return torch.promote_types(features.dtype, torch.float32)


def _slices(length: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, length)) for start in range(0, length, tile)]


def _count_equal(place: Tensor) -> Tensor:
    _, inverse, counts = torch.unique(place, return_inverse=True, return_counts=True)
    return counts[inverse]

"""Losses of species presence, from surveys that say what is absent and from records that do not.

Each is a mean over this rank's rows. Labels are 1 for presence, 0 for absence, and `UNKNOWN`, which does not count.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus

from sdm_ray.models.distributed import ALONE, Ranks

UNKNOWN = 255


@dataclass(frozen=True)
class Asymmetry:
    """Settings of the asymmetric loss (Ridnik et al. 2021, equations 5 and 7).

    Attributes:
        positive: focusing of presences.
        negative: focusing of absences.
        margin: absences of a lower probability are taken as right.
    """

    positive: float = 0.0
    negative: float = 4.0
    margin: float = 0.05


def bce(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, mean over rows and species: absences are taken as they stand.

    Args:
        logits: (N, S).
        labels: (N, S); between 0 and 1 with distillation.
        weight: of presences and of absences, (2, S); 1 without.
    """
    known = labels != UNKNOWN
    present = torch.where(known, labels, 0).float()
    if weight is None:
        each = binary_cross_entropy_with_logits(logits.float(), present, reduction="none")
    else:
        each = weight[0] * present * softplus(-logits.float()) + weight[1] * (1 - present) * softplus(logits.float())
    return (each * known).mean()


def assume_negative(logits: Tensor, labels: Tensor, background: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Presence-only records: what was not recorded is taken as absent, there and at random places.

    The full assume-negative loss of Cole et al. 2023 (SINR), equation 5.

    Args:
        logits: of recorded places, (N, S).
        labels: (N, S).
        background: logits of random places, (M, S).
        positive_weight: of the presences, which are far fewer.
    """
    ones = torch.ones(logits.shape[1], device=logits.device)
    return bce(logits, labels, torch.stack([positive_weight * ones, ones])) + softplus(background.float()).mean()


def max_entropy(logits: Tensor, labels: Tensor, background: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Presence-only records: each species' distribution over sites, its records against all sites.

    The negative log-likelihood of a softmax over the sites of all ranks' batches, mean over records: maximum entropy
    as a Poisson point process (Renner and Warton 2013), for many species at once.

    The gradients are exact for any number of ranks, and scaled for the mean over ranks with equal rows.

    Args:
        logits: of recorded places, (N, S).
        labels: (N, S).
        background: logits of other sites, (M, S).
        ranks: this process among the others.
    """
    sites = torch.cat([logits, background]).float()
    own = torch.logsumexp(sites.detach(), 0)
    partition = torch.logsumexp(
        torch.stack(ranks.gather(own[None], [1] * ranks.world), 0).reshape(-1, sites.shape[1]), 0
    )
    present = (labels == 1).float()
    records = ranks.total(present.sum(0))
    # exp(f - partition) sums to 1 over all sites: its gradient is that of the log-partition, which needs no exchange
    shares = torch.exp(sites - partition).sum(0)
    total = (records * (partition / ranks.world + shares - shares.detach())).sum()
    value = total - (present * sites[: len(logits)]).sum()
    return value * ranks.world / records.sum().clamp(min=1)


def classes(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of places that hold exactly one class each, mean over rows.

    Args:
        logits: (N, S).
        labels: (N, S), with a single 1 in each row.
    """
    return cross_entropy(logits.float(), (labels == 1).float())


def asymmetric(logits: Tensor, labels: Tensor, setting: Asymmetry) -> Tensor:
    """Asymmetric loss: easy absences count little, and those below a margin nothing; mean over rows and species.

    Args:
        logits: (N, S).
        labels: (N, S).
        setting: of the asymmetry.
    """
    p = torch.sigmoid(logits.float())
    shifted = (p - setting.margin).clamp(min=0)
    present = (1 - p) ** setting.positive * softplus(-logits.float())
    absent = -(shifted**setting.negative) * torch.log1p(-shifted.clamp(max=1 - 1e-6))
    return (torch.where(labels == 1, present, absent) * (labels != UNKNOWN)).mean()

"""How strong hidden bias would have to be to explain an effect away."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from sdm_ray.impact.study import Floats

_MOST_GAMMA = 100.0


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity to hidden bias.

    Attributes:
        gamma: Rosenbaum's bound: how many times the odds of treatment may differ within a pair before the effect is no
            longer significant at the 5 % level; 1 where it is not significant without hidden bias.
        p_value: of Wilcoxon's signed rank test without hidden bias, one-sided.
        e_value: of the estimate: the least risk ratio that a hidden confounder must have with both treatment and
            outcome to explain the effect away.
        e_value_limit: the same for the limit of the interval nearer to zero; 1 where the interval holds zero.
    """

    gamma: float
    p_value: float
    e_value: float
    e_value_limit: float


def sensitivity(differences: Floats, value: float, limits: tuple[float, float], spread: float) -> Sensitivity:
    """Rosenbaum's bound and E-values of an effect.

    Args:
        differences: change of each treated unit less that of its controls, (S,).
        value: the effect.
        limits: of its interval.
        spread: standard deviation of the change among controls, by which the effect is standardised.
    """
    sign = 1.0 if value >= 0 else -1.0
    low, high = sorted((sign * limits[0], sign * limits[1]))
    known = sign * differences[np.isfinite(differences)]
    return Sensitivity(
        gamma=rosenbaum_gamma(known),
        p_value=signed_rank_p(known, 1.0),
        e_value=e_value(abs(value) / spread) if spread > 0 else float("nan"),
        e_value_limit=(e_value(low / spread) if low > 0 else 1.0) if spread > 0 and np.isfinite(high) else float("nan"),
    )


def signed_rank_p(differences: Floats, gamma: float) -> float:
    """Largest one-sided p value of Wilcoxon's signed rank test under hidden bias of at most `gamma`.

    Under it, a pair's difference is positive with a probability of at most gamma / (1 + gamma) (Rosenbaum 2002,
    Observational Studies, section 4.3.3); normal approximation with ranks of ties shared.

    Args:
        differences: positive in the direction of the effect, (S,); zeros are ranked, and count for neither side.
        gamma: 1 for no hidden bias.
    """
    if np.count_nonzero(differences) < 2:
        return 1.0
    ranks = np.where(differences == 0, 0, stats.rankdata(np.abs(differences)))
    chance = gamma / (1 + gamma)
    statistic = ranks[differences > 0].sum()
    deviate = (statistic - chance * ranks.sum()) / np.sqrt(chance * (1 - chance) * (ranks**2).sum())
    return float(stats.norm.sf(deviate))


def rosenbaum_gamma(differences: Floats, level: float = 0.05) -> float:
    """Largest hidden bias under which the effect stays significant; 1 where it is not significant at all.

    Args:
        differences: positive in the direction of the effect, (S,).
        level: of significance, one-sided.
    """
    if signed_rank_p(differences, 1.0) > level:
        return 1.0
    low, high = 1.0, _MOST_GAMMA
    if signed_rank_p(differences, high) <= level:
        return high
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if signed_rank_p(differences, middle) <= level else (low, middle)
    return low


def e_value(standardised: float) -> float:
    """E-value of a standardised difference d, through the risk ratio exp(0.91 d).

    VanderWeele and Ding 2017, Ann. Intern. Med. 167:268; Chinn 2000, Stat. Med. 19:3127 for the approximation.
    """
    ratio = float(np.exp(0.91 * abs(standardised)))
    return ratio + float(np.sqrt(ratio * (ratio - 1)))

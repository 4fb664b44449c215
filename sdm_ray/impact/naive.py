"""What would be found without matched controls, for comparison."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.impact.config import EstimateConfig
from sdm_ray.impact.study import Floats, Study
from sdm_ray.metrics.block_bootstrap import block_resamples


@dataclass(frozen=True)
class Naive:
    """An estimate with its interval."""

    value: float
    low: float
    high: float


def naive_estimates(study: Study, config: EstimateConfig, block_m: float, seed: int = 0) -> dict[str, Naive]:
    """Estimates without matching, with intervals from resampled blocks of units.

    Returns:
        `before and after, treated alone` (no controls: takes any trend for an effect), `after, treated and all
        controls` (no look before: takes any earlier difference for an effect) and `change, treated and all controls`
        (unmatched difference in differences).
    """
    changes, after = study.changes(), study.means_after()
    rows, units = study.row_of_date(), np.arange(len(study.ids))
    share = np.bincount(rows[study.treated], minlength=len(study.dates))

    def sides(values: Floats) -> tuple[Floats, Floats]:
        """Values of treated units at their dates, of controls the mean over the treated units' dates; else NaN."""
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            mean = (share @ np.where(known, values, 0)) / (share @ known)
        own = values[rows, units]
        return np.where(study.treated, own, np.nan), np.where(study.treated, np.nan, mean)

    change, level = sides(changes), sides(after)
    nothing = np.zeros(len(units))
    return {
        "before and after, treated alone": _contrast(change[0], nothing, study, (config, block_m, seed)),
        "after, treated and all controls": _contrast(*level, study, (config, block_m, seed)),
        "change, treated and all controls": _contrast(*change, study, (config, block_m, seed)),
    }


def _contrast(one: Floats, other: Floats, study: Study, how: tuple[EstimateConfig, float, int]) -> Naive:
    """Mean of one less mean of the other, over the units where each is known."""
    config, block_m, seed = how
    position, weights = block_resamples(block_id(study.x, study.y, Blocks(size_m=block_m)), config.resamples, seed)
    means = []
    for values in (one, other):
        known = np.isfinite(values)
        sums = np.bincount(position, np.where(known, values, 0), minlength=len(weights)) @ weights
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(sums / (np.bincount(position, known, minlength=len(weights)) @ weights))
    draws = means[0] - means[1]
    reach = stats.norm.ppf(0.5 + config.confidence / 2) * float(np.nanstd(draws[1:], ddof=1))
    return Naive(float(draws[0]), float(draws[0] - reach), float(draws[0] + reach))

"""The effect by years since treatment (event study), and a test of trends before it.

Each lag is compared with the last year before the treatment; with intervals of single lags, and a band that holds all
of them at once (the sup-t band of Montiel Olea and Plagborg-Moller 2019, J. Appl. Econom. 34:1; for event studies
Callaway and Sant'Anna 2021, J. Econom. 225:200).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sdm_ray.impact.estimate import Effect, Estimator
from sdm_ray.impact.study import Floats, Study

_LEAST_SHARE = 0.1  # of the sets, for a lag to be shown


@dataclass(frozen=True)
class EventStudy:
    """Effects by years since treatment.

    Attributes:
        table: `years_since`, `effect`, `low`, `high`, `band_low`, `band_high`, `sets`; the reference year is 0.
        trend_p: p value of no difference at any lag before the reference; NaN where there is no such lag.
    """

    table: pd.DataFrame
    trend_p: float


def event_study(study: Study, estimator: Estimator) -> EventStudy | None:
    """The event study; None where fewer than three years leave nothing to show beside the estimate itself."""
    if len(study.years) < 3:
        return None
    effects: dict[float, Effect] = {}
    for lag in study.lags():
        draws = (study.since(lag, number) for number in range(study.draw_count))
        effect = estimator.effect(study.since(lag), draws)
        if effect.sets >= max(2, _LEAST_SHARE * len(estimator.unit)) and np.isfinite(effect.value):
            effects[float(lag)] = effect
    told = {lag: effect for lag, effect in effects.items() if np.isfinite(effect.error) and effect.error > 1e-12}
    reach = _critical(list(told.values()), estimator.config.confidence)
    rows = [
        {
            "years_since": lag,
            "effect": effect.value,
            "low": effect.low if lag in told else effect.value,
            "high": effect.high if lag in told else effect.value,
            "band_low": effect.value - reach * effect.error if lag in told else effect.value,
            "band_high": effect.value + reach * effect.error if lag in told else effect.value,
            "sets": effect.sets,
        }
        for lag, effect in effects.items()
    ]
    before = [effect for lag, effect in told.items() if lag < 0]
    return EventStudy(pd.DataFrame(rows), _trend_p(before))


def _largest(effects: list[Effect]) -> Floats:
    """Largest deviation from the mean in each resample, in standard deviations, (R,)."""
    deviations = [np.abs(effect.draws - np.nanmean(effect.draws)) / np.nanstd(effect.draws) for effect in effects]
    return np.asarray(np.nanmax(np.stack(deviations), axis=0), np.float64)


def _critical(effects: list[Effect], confidence: float) -> float:
    """Standard errors on either side that hold all lags at once, widened as single intervals are for few blocks."""
    if not effects:
        return float("nan")
    blocks = min(effect.blocks for effect in effects)
    quantile = 0.5 + confidence / 2
    single = float(stats.t.ppf(quantile, max(blocks - 1, 1)))
    widened = single / float(stats.norm.ppf(quantile))
    return max(single, float(np.quantile(_largest(effects), confidence)) * widened)


def _trend_p(before: list[Effect]) -> float:
    """Share of resamples whose largest deviation reaches the largest effect before treatment."""
    if not before:
        return float("nan")
    found = max(abs(effect.value) / effect.error for effect in before)
    return float(np.mean(_largest(before) >= found))

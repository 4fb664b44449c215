"""Balance: how alike treated units and controls are before and after matching.

Standardised mean differences and variance ratios (Stuart 2010, Stat. Sci. 25:1; Austin 2009, Stat. Med. 28:3083). Below
0.1 in size, and between 0.5 and 2, they are taken as balanced.
"""

import numpy as np
import pandas as pd

from sdm_ray.impact.matching import Matches
from sdm_ray.impact.study import Floats, Study

UNBALANCED = 0.1
"""Standardised mean difference from which a covariate is not balanced."""


def balance(study: Study, matches: Matches) -> pd.DataFrame:
    """One row for each covariate, for the logit of the propensity score and for the outcome before the treatment.

    Returns:
        `covariate`, `matched_on`; means of treated units and controls, `smd` (standardised mean difference: treated
        less controls, over the root of the mean of their variances before matching) and `variance_ratio` (treated over
        controls), before matching (`_before`) and after it.
    """
    columns = dict(zip(study.names, study.covariates.T, strict=True))
    rows = [{"covariate": name, "matched_on": True, **_row(values, study, matches)} for name, values in columns.items()]
    for name, values in (("logit of the propensity score", matches.logit), ("outcome before", _before(study))):
        rows.append({"covariate": name, "matched_on": False, **_row(values, study, matches)})
    return pd.DataFrame(rows)


def _before(study: Study) -> Floats:
    """Outcome in the last year before the earliest treatment; NaN where it is not known."""
    before = np.flatnonzero(study.years < study.dates[0])
    return study.outcome[:, before[-1]] if len(before) else np.full(len(study.ids), np.nan)


def _row(values: Floats, study: Study, matches: Matches) -> dict[str, float]:
    count = len(values)
    matched = np.zeros(count)
    matched[matches.treated] = 1
    sides = {
        "_before": (study.treated.astype(float), (~study.treated).astype(float)),
        "": (matched, matches.control_weights(count)),
    }
    moments = {name: [_moments(values, weight) for weight in weights] for name, weights in sides.items()}
    scale = np.sqrt(np.mean([variance for _, variance in moments["_before"]]))
    found: dict[str, float] = {}
    for name, ((mean_treated, var_treated), (mean_control, var_control)) in moments.items():
        difference = mean_treated - mean_control
        found[f"mean_treated{name}"], found[f"mean_control{name}"] = mean_treated, mean_control
        found[f"smd{name}"] = difference / scale if scale > 0 else 0.0
        found[f"variance_ratio{name}"] = var_treated / var_control if var_control > 0 else float("nan")
    return found


def _moments(values: Floats, weight: Floats) -> tuple[float, float]:
    """Weighted mean and variance of the known values."""
    weight = np.where(np.isfinite(values), weight, 0)
    if weight.sum() == 0:
        return float("nan"), float("nan")
    values = np.nan_to_num(values)
    mean = float(np.average(values, weights=weight))
    return mean, float(np.average((values - mean) ** 2, weights=weight))

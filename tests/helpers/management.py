"""Made parcels under a management of known effect: treated ones differ from the rest, and trends follow climate."""

import numpy as np
import pandas as pd

from sdm_ray.impact.study import Study

CENTRE = 4_321_000.0, 3_210_000.0


def parcels(count=400, *, effect=-2.0, years=range(2006, 2018), seed=0, treated_share=0.2, lead=0.0, trend=0.3):
    """Units, and outcomes by unit and year.

    Treated parcels are warmer; warm parcels decline faster, so that an estimate without controls alike is biased.

    Args:
        count: number of parcels.
        effect: of the treatment, from its year on.
        years: of the outcomes.
        seed: of everything.
        treated_share: about this share is treated, in 2011 to 2013.
        lead: yearly trend of treated parcels alone, before and after treatment.
        trend: yearly decline for each standard deviation of warmth.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-100_000, 100_000, (2, count)) + np.array(CENTRE)[:, None]
    warmth, slope = rng.normal(0, 1, (2, count))
    soil = rng.choice(["clay", "loam", "sand"], count)
    odds = treated_share / (1 - treated_share) * np.exp(0.8 * warmth)
    treated = rng.random(count) < odds / (1 + odds)
    date = np.where(treated, rng.integers(2011, 2014, count), np.nan)
    every = np.array(years, float)
    outcome = 20 + warmth[:, None] - trend * warmth[:, None] * (every - every[0]) + rng.normal(0, 1, (count, 1))
    outcome = outcome + rng.normal(0, 0.7, outcome.shape)
    after = np.nan_to_num(every[None] - date[:, None], nan=-1) >= 0
    outcome = outcome + np.where(after, effect, 0) + lead * treated[:, None] * (every - every[0])
    units = pd.DataFrame(
        {"parcel": [f"p{i:03d}" for i in range(count)], "x": x, "y": y, "treated": treated.astype(int), "date": date,
         "warmth": warmth, "slope": slope, "soil": soil}
    )  # fmt: skip
    return units, every, outcome


def study(count=400, **how):
    units, years, outcome = parcels(count, **how)
    return Study(
        ids=units["parcel"].to_numpy(str),
        x=units["x"].to_numpy(),
        y=units["y"].to_numpy(),
        treated=units["treated"].to_numpy() == 1,
        date=units["date"].to_numpy(),
        years=years,
        outcome=outcome,
        covariates=units[["warmth", "slope"]].to_numpy(),
        names=("warmth", "slope"),
        exact=np.zeros(count, np.int64),
    )


def small(treated, date, outcome, *, years=(2000, 2010), covariates=None, **more):
    """A study written by hand; units lie 1 km apart on a line."""
    treated = np.array(treated, bool)
    count = len(treated)
    values = np.zeros((count, 0)) if covariates is None else np.array(covariates, float).reshape(count, -1)
    given = {
        "ids": np.array([f"u{i}" for i in range(count)]),
        "x": np.arange(count) * 1000.0,
        "y": np.zeros(count),
        "treated": treated,
        "date": np.where(treated, np.array(date, float), np.nan),
        "years": np.array(years, float),
        "outcome": np.array(outcome, float),
        "covariates": values,
        "names": tuple(f"c{i}" for i in range(values.shape[1])),
        "exact": np.zeros(count, np.int64),
    }
    return Study(**{**given, **more})

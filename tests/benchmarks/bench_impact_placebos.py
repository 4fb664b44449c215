"""Fake measures in a real Sentinel-2 series: seasons and sensors change over the whole scene, and nothing was done.

    python tests/benchmarks/bench_impact_placebos.py [--quick]

Units are squares of 40 m of a forest in Romania ($SDM_RAY_DATA), their outcome is the median greenness (NDVI) of clear
dates of June to September. A hundred times a fifth of them is taken as treated in 2018, the more likely the greener and
the farther east. Sentinel-2B joined in 2017, so that years differ in their dates, angles and sensors.
"""

import argparse
import json
import os
import sys
import warnings

import numpy as np
import rasterio

from sdm_ray.impact.config import EstimateConfig, MatchingConfig
from sdm_ray.impact.estimate import Estimator, baci
from sdm_ray.impact.matching import match
from sdm_ray.impact.naive import naive_estimates
from sdm_ray.impact.study import Study
from sdm_ray.progress import say

SIDE, YEARS, TREATED_IN = 4, np.arange(2016.0, 2021.0), 2018.0
CLEAR = (4, 5, 6, 7)  # classes of the scene classification: vegetation, bare, water, unclassified
BLOCK_M = 160.0


def greenness(path: str) -> np.ndarray:
    """Median NDVI of clear dates of each summer, means of squares, (N, years)."""
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    bands = {}
    for name in ("B4", "B8", "SCL"):
        with rasterio.open(f"netcdf:{path}:{name}") as file:
            bands[name] = file.read().astype(np.float64)
            days = np.array(file.tags()["NETCDF_DIM_time_VALUES"].strip("{}").split(","), int)
    dates = np.datetime64("2015-08-01") + days
    year = dates.astype("datetime64[Y]").astype(int) + 1970
    month = dates.astype("datetime64[M]").astype(int) % 12 + 1
    total = bands["B8"] + bands["B4"]
    clear = np.isin(bands["SCL"], CLEAR) & (total > 0) & (bands["B4"] > 0)
    ndvi = np.where(clear, (bands["B8"] - bands["B4"]) / np.where(total > 0, total, 1), np.nan)
    summers = [np.nanmedian(ndvi[(year == each) & (month >= 6) & (month <= 9)], axis=0) for each in YEARS]
    size = summers[0].shape[0] // SIDE
    squares = np.stack(summers).reshape(len(YEARS), size, SIDE, size, SIDE)
    return np.nanmean(squares, axis=(2, 4)).reshape(len(YEARS), -1).T


def fake(values: np.ndarray, seed: int) -> Study:
    """A study of a measure that was never taken."""
    rng = np.random.default_rng(seed)
    size = round(len(values) ** 0.5)
    row, col = np.divmod(np.arange(len(values)), size)
    level = values[:, 0] - values[:, 0].mean()
    logit = -1.4 + 0.7 * level / level.std() + 0.5 * (col - col.mean()) / col.std()
    treated = rng.random(len(values)) < 1 / (1 + np.exp(-logit))
    covariates = np.column_stack([row, col, values[:, 0], values[:, 1]]).astype(float)
    return Study(
        ids=np.arange(len(values)).astype(str),
        x=(col + 0.5) * SIDE * 10.0,
        y=-(row + 0.5) * SIDE * 10.0,
        treated=treated,
        date=np.where(treated, TREATED_IN, np.nan),
        years=YEARS,
        outcome=values,
        covariates=covariates,
        names=("row", "col", "greenness 2016", "greenness 2017"),
        exact=np.zeros(len(values), np.int64),
    )


def main() -> int:
    """0 where the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 fake measures")
    count = 20 if parser.parse_args().quick else 100
    values = greenness(os.environ["SDM_RAY_DATA"] + "/sentinel2-romania/sentinel2_cube_subset_romania_10m.nc")
    say(
        "mean greenness of the summers: "
        + ", ".join(f"{y:.0f} {v:.3f}" for y, v in zip(YEARS, values.mean(0), strict=True))
    )
    config = EstimateConfig(block_m=BLOCK_M, resamples=300)
    found: dict[str, list[bool]] = {}
    for seed in range(count):
        study = fake(values, seed)
        effect = baci(study, Estimator(study, match(study, MatchingConfig()), config, seed))
        found.setdefault("matched controls", []).append(effect.beyond)
        for name, each in naive_estimates(study, config, BLOCK_M, seed).items():
            found.setdefault(name, []).append(each.low > 0 or each.high < 0)
    for name, flags in found.items():
        say(f"{name:<36}{sum(flags):>4} of {count} fake measures flagged")
    share = float(np.mean(found["matched controls"]))
    row = {
        "figure": "impact: fake measures flagged",
        "value": share,
        "unit": "share",
        "goal": 0.1,
        "holds": share <= 0.1,
    }
    print(json.dumps(row))
    return 0 if row["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())

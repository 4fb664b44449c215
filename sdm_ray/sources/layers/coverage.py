"""How many surveys lie where covariates are unknown."""

import numpy as np
from upath import UPath

from sdm_ray.geo.grid import to_xy
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates, unknown_at
from sdm_ray.stores.surveys import read_surveys


def check_surveys_covered(covariates: UPath, surveys: UPath, most: float) -> None:
    """Report each covariate that is unknown at some surveys.

    Args:
        covariates: the store.
        surveys: the table.
        most: share of the surveys at which a covariate may be unknown.

    Raises:
        InputError: one is unknown at more.
    """
    table, _ = read_surveys(surveys)
    store = Covariates(covariates)
    _, known = store.at(*to_xy(table["lon"].to_numpy(np.float64), table["lat"].to_numpy(np.float64)))
    for line in unknown_at(store.path, store.names, known, most):
        say(f"prepare: {line}")

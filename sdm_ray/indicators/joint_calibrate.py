"""Scale a fitted error model until its intervals hold on the predictions that it was fitted to.

Moments alone give the right variance of a zone's total on average over zones. Where errors are large in some zones and
small in most, intervals of a normal field with that variance hold too seldom; a larger variance mends that.
"""

from dataclasses import replace

import numpy as np

from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.indicators.error_model import ErrorModel
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.joint_fit import MOST_VARIANCE, HeldOut
from sdm_ray.indicators.joint_totals import zone_totals

_SCALES = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0)  # of the fields' variance
_SURVEYS = 3000  # most of them in the zones that are looked at
_DRAWS = 60
_FEWEST = 20  # intervals of a size and quantity, below which they say too little
_SIDES = 2  # zones are squares of this many times a range, for each range but the longest


def calibrated(model: ErrorModel, data: HeldOut, level: float, *, seed: int) -> ErrorModel:
    """The model with the smallest scale whose intervals hold as often as they should, mean over sizes and quantities.

    Args:
        model: fitted to the data.
        data: held-out predictions.
        level: nominal coverage.
        seed: of the choice of zones and of the draws.
    """
    finite = [each for each in model.ranges_m if np.isfinite(each)]
    sizes = [_SIDES * each for each in finite[:-1] or finite]
    some = _whole_zones(data, sizes[-1], seed)
    for scale in _SCALES:
        tried = scaled(model, scale)
        drawn = JointDraws(tried, _DRAWS, seed, site=True)
        parts = [part for size in sizes for part in zone_totals(some, size, level, drawn).values()]
        held = [float(part.covered("joint", 0, 0).mean()) for part in parts if len(part.observed) >= _FEWEST]
        if not held or np.mean(held) >= level:
            return tried
    return tried


def scaled(model: ErrorModel, scale: float) -> ErrorModel:
    """The model with so many times the variance of its fields, as far as a species' variance leaves room for chance."""
    room = MOST_VARIANCE - model.site_variance
    factor = np.minimum(scale, np.maximum(room / np.maximum(model.spatial_variance, 1e-9), 1)).astype(np.float32)
    return replace(model, loadings=model.loadings * np.sqrt(factor)[:, None], own=model.own * factor)


def _whole_zones(data: HeldOut, size: float, seed: int) -> HeldOut:
    """The surveys of some zones."""
    zone = np.unique(block_id(data.x, data.y, Blocks(size_m=size)), return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(zone.max() + 1)
    count = np.cumsum(np.bincount(zone)[order])
    chosen = order[: max(1, np.searchsorted(count, _SURVEYS))]
    return data.rows(np.isin(zone, chosen))

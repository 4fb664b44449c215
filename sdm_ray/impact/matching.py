"""Controls that are alike to the treated units.

The propensity score (Rosenbaum and Rubin 1983, Biometrika 70:41) bounds how unlike a control may be; within its
caliper (0.2 standard deviations of its logit: Austin 2011, Pharm. Stat. 10:150) controls are the nearest ones by the
Mahalanobis distance of the covariates, the way of Rosenbaum and Rubin (1985, Am. Stat. 39:33). Without replacement the
assignment is the optimal one (Rosenbaum 1989, JASA 84:1024), found by the sparse Jonker-Volgenant algorithm of scipy:
as many treated units as possible have a control, then as many controls as possible serve, then distances are least.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression

from sdm_ray.errors import InputError
from sdm_ray.impact.assignment import Candidates, optimal_pairs
from sdm_ray.impact.config import MatchingConfig
from sdm_ray.impact.study import Floats, Integers, Study

_NEAREST = 200  # candidates of each treated unit and control wanted, in the assignment, at first
_PAIRS_AT_ONCE = 1 << 22  # of the distances in memory
_TIE = 1e-9  # standard deviations: what is nearer than this is equally near


@dataclass(frozen=True)
class Matches:
    """Treated units and their controls: one row for each pair.

    Attributes:
        treated: unit of each pair, ascending, (P,).
        control: its control, (P,).
        weight: 1 over the number of controls of the treated unit, (P,).
        unmatched: treated units without a control, (U,).
        logit: of the propensity score of every unit, (N,).
    """

    treated: Integers
    control: Integers
    weight: Floats
    unmatched: Integers
    logit: Floats

    def control_weights(self, count: int) -> Floats:
        """How often each of `count` units serves as a control, (N,)."""
        return np.asarray(np.bincount(self.control, self.weight, minlength=count), np.float64)


def standardised(values: Floats) -> Floats:
    """Columns with mean 0 and standard deviation 1; constant ones are 0."""
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1))


def propensity_logit(study: Study) -> Floats:
    """Logit of each unit's probability of being treated given its covariates, by logistic regression, (N,)."""
    if not study.covariates.shape[1]:
        return np.zeros(len(study.ids))
    x = standardised(study.covariates)
    model = LogisticRegression(C=1.0, max_iter=500).fit(x, study.treated)
    return np.asarray(model.decision_function(x), np.float64)


def match(study: Study, config: MatchingConfig) -> Matches:
    """Find controls; only pairs with a known change of the outcome at the treated unit's date are made.

    Raises:
        InputError: there is no treated unit, or no control.
    """
    if not study.treated.any() or study.treated.all():
        treated = int(study.treated.sum())
        raise InputError(
            f"treatment: {treated} treated units and {len(study.ids) - treated} possible controls with known outcomes"
            " and covariates; expected both"
        )
    logit = propensity_logit(study)
    whitened = standardised(logit[:, None]) if config.distance == "propensity" else _whitened(study.covariates)
    known = np.isfinite(study.changes())
    pairs = [
        _pairs(study, config, _Space(whitened, logit, known), np.flatnonzero(study.exact == group))
        for group in np.unique(study.exact[study.treated])
    ]
    treated, control = np.concatenate(pairs, axis=1)
    order = np.lexsort((control, treated))
    treated, control = treated[order], control[order]
    number = np.bincount(treated, minlength=len(study.ids))
    unmatched = np.setdiff1d(np.flatnonzero(study.treated), treated)
    return Matches(treated, control, 1 / number[treated], unmatched, logit)


@dataclass(frozen=True)
class _Space:
    """Where units lie: whitened covariates (N, C), logits (N,), and which changes are known (G, N)."""

    whitened: Floats
    logit: Floats
    known: NDArray[np.bool_]


def _whitened(values: Floats) -> Floats:
    """Covariates whose Euclidean distance is the Mahalanobis distance; directions without variance do not count."""
    if not values.shape[1]:
        return np.zeros((len(values), 1))
    x = standardised(values)
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(x, rowvar=False)))
    varies = variance > 1e-8 * variance.max()
    return np.asarray(x @ axes[:, varies] / np.sqrt(variance[varies]))


def _pairs(study: Study, config: MatchingConfig, space: _Space, units: Integers) -> Integers:
    """Treated units and controls, (2, P), among units that are alike in `exact`."""
    treated, controls = units[study.treated[units]], units[~study.treated[units]]
    if not len(controls):
        return np.empty((2, 0), np.int64)
    nearest = partial(_nearest, study, config, space, (treated, controls))
    if config.replace:
        row, column, _ = nearest(np.arange(len(treated)), config.ratio)
    else:
        shape = len(treated), len(controls)
        row, column = optimal_pairs(nearest, shape, config.ratio, _NEAREST * config.ratio)
    return np.stack([treated[row], controls[column]])


def _nearest(
    study: Study, config: MatchingConfig, space: _Space, sides: tuple[Integers, Integers], which: Integers, most: int
) -> Candidates:
    """The nearest controls of some treated units that they may be paired with, so many of each at most.

    Of equally near ones each unit takes others: if all took the same, these would be too few for all.
    """
    treated, controls = sides
    most = min(most, len(controls))
    rows, columns, costs = [], [], []
    step = max(1, _PAIRS_AT_ONCE // len(controls))
    for start in range(0, len(which), step):
        some = which[start : start + step]
        cost = _costs(study, config, space, (treated[some], controls))
        turn = (np.arange(len(controls)) - (some * len(controls) // len(treated))[:, None]) % len(controls)
        near = np.argpartition(cost + turn * (_TIE / len(controls)), most - 1, axis=1)[:, :most]
        found = np.take_along_axis(cost, near, axis=1)
        row, place = np.nonzero(np.isfinite(found))
        rows.append(some[row])
        columns.append(near[row, place])
        costs.append(found[row, place])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(costs)


def _costs(study: Study, config: MatchingConfig, space: _Space, sides: tuple[Integers, Integers]) -> Floats:
    """Distance of treated units and controls, infinite where they may not be paired, (n, m)."""
    treated, controls = sides
    squared = cdist(space.whitened[treated], space.whitened[controls], "sqeuclidean")
    dates = study.row_of_date()[treated]
    allowed = space.known[dates][:, controls] & space.known[dates, treated][:, None]
    if config.caliper is not None:
        width = config.caliper * space.logit.std()
        allowed &= np.abs(space.logit[treated][:, None] - space.logit[controls]) <= width + 1e-12
    by_place = config.max_distance_m is not None or config.min_distance_m > 0 or config.distance_scale_m is not None
    if by_place:
        metres = np.hypot(study.x[treated][:, None] - study.x[controls], study.y[treated][:, None] - study.y[controls])
        allowed &= (metres >= config.min_distance_m) & (metres <= (config.max_distance_m or np.inf))
        if config.distance_scale_m is not None:
            squared = squared + (metres / config.distance_scale_m) ** 2
    return np.where(allowed, np.sqrt(squared), np.inf)

"""Before-after-control-impact estimates from matched sets, with intervals from resampled spatial blocks.

The effect is the mean over matched treated units of (change of the treated unit) - (mean change of its controls), the
difference in differences (Stewart-Oaten et al. 1986, Ecology 67:929; Heckman et al. 1997, Rev. Econ. Stud. 64:605).
Every set is compared over the years before and after its own treatment, and controls are never treated, so that units
treated early never serve as controls of late ones (Goodman-Bacon 2021, J. Econom. 225:254). With `adjust`, what is left
of differences in covariates is taken off by a regression of the controls' changes (Abadie and Imbens 2011, JBES 29:1).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.impact.config import EstimateConfig
from sdm_ray.impact.matching import Matches, standardised
from sdm_ray.impact.study import Floats, Integers, Study
from sdm_ray.metrics.block_bootstrap import block_resamples

_BLOCKS = 30  # that hold treated units, by default
_PAIRS_PER_COVARIATE = 10  # fewer do not support a regression


@dataclass(frozen=True)
class Effect:
    """An effect with its interval.

    Attributes:
        value: the estimate.
        low: lower limit.
        high: upper limit.
        error: standard error.
        sets: treated units with their controls that it rests on.
        blocks: effective number of blocks, (sum of sizes)^2 / sum of squared sizes.
        draws: value in each resample, (R,).
    """

    value: float
    low: float
    high: float
    error: float
    sets: int
    blocks: float
    draws: Floats

    @property
    def beyond(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def block_side(study: Study, config: EstimateConfig) -> float:
    """Side of the blocks, metres: the one given, or the largest at which about 30 blocks hold treated units."""
    if config.block_m is not None:
        return config.block_m
    x, y = study.x[study.treated], study.y[study.treated]
    wanted = min(_BLOCKS, 0.7 * len(x))
    side = max(float(np.ptp(x)), float(np.ptp(y)), 100.0) / 2
    while len(np.unique(block_id(x, y, Blocks(size_m=side)))) < wanted and side > 1:
        side /= 1.25
    return float(f"{side:.2g}")


@dataclass(frozen=True)
class _Sums:
    """Sums over the sets of each block, from which the effect in any resample of blocks follows.

    Attributes:
        sets: number of sets, (B,).
        difference: of the sets' differences, one row for each draw, (D, B).
        gap: of covariates, treated less controls, (B, C).
        xx: of products of the controls' covariates, (B, C, C).
        xy: of products of these and the controls' changes, (D, B, C).
    """

    sets: Floats
    difference: Floats
    gap: Floats
    xx: Floats
    xy: Floats


class Estimator:
    """Effects of one matched study; every effect is resampled over the same blocks, so that effects can be compared.

    Args:
        study: the units.
        matches: their controls.
        config: which blocks, how many resamples, whether to adjust.
        seed: of the resamples.

    Raises:
        InputError: no treated unit is matched.
    """

    def __init__(self, study: Study, matches: Matches, config: EstimateConfig, seed: int = 0) -> None:
        self.study, self.matches, self.config = study, matches, config
        self.unit, self._set = np.unique(matches.treated, return_inverse=True)
        if not len(self.unit):
            raise InputError(
                f"matching: none of {int(study.treated.sum())} treated units has a control within the calipers; allow"
                " more (matching.caliper, max_distance_m, exact) or give more controls"
            )
        self.block_m = block_side(study, config)
        blocks = block_id(study.x, study.y, Blocks(size_m=self.block_m))
        self._block, self._resamples = block_resamples(blocks[self.unit], config.resamples, seed)
        self._control_block = np.unique(blocks[matches.control], return_inverse=True)[1]
        self._row = study.row_of_date()[matches.treated]
        x = standardised(study.covariates)
        self._treated_x, self._control_x = x[matches.treated], x[matches.control]
        self.adjusts = config.adjust and 0 < x.shape[1] * _PAIRS_PER_COVARIATE <= len(matches.treated)

    def effect(self, change: Floats, draws: Iterable[Floats] = ()) -> Effect:
        """The mean difference of sets.

        Args:
            change: of every unit at each date, (G, N); sets where it is not known do not count.
            draws: the same for joint draws of the outcome; each resample of blocks takes one of them, so that the
                interval holds both the chance of which places were treated and the outcome's own error.
        """
        sums = self._sums(change, draws)
        which = np.zeros(self._resamples.shape[1], np.int64)
        if len(sums.difference) > 1:
            which[1:] = 1 + np.arange(len(which) - 1) % (len(sums.difference) - 1)
        values = self._values(sums, which)
        return self._interval(values, sums.sets, self._shared_controls(change, float(values[0])))

    def differences(self, change: Floats) -> Floats:
        """Change of each matched treated unit less the mean change of its controls, adjusted, NaN if unknown, (S,)."""
        treated, control, _ = self._by_set(change)
        difference = treated - control
        if self.adjusts:
            sums = self._sums(change, ())
            difference = difference - self._gaps(np.isfinite(change)) @ _slopes(sums.xx.sum(0), sums.xy[0].sum(0))
        return difference

    def _pairs(self, change: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Changes of the treated unit and of the control of each pair, and whether both are known, (P,) each."""
        treated = change[self._row, self.matches.treated]
        control = change[self._row, self.matches.control]
        return treated, control, np.isfinite(treated) & np.isfinite(control)

    def _by_set(self, change: Floats) -> tuple[Floats, Floats, Floats]:
        """Changes of treated units and their controls, and the weight of each pair in its set, 0 where unknown."""
        treated, control, known = self._pairs(change)
        number = np.bincount(self._set, known, minlength=len(self.unit))
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.where(known, 1 / number[self._set], 0)
            of_set = [
                np.bincount(self._set, weight * np.nan_to_num(each), minlength=len(self.unit)) / (number > 0)
                for each in (treated, control)
            ]
        return of_set[0], of_set[1], weight

    def _gaps(self, finite: NDArray[np.bool_]) -> Floats:
        """Covariates of treated units less those of their controls, (S, C)."""
        _, _, weight = self._by_set(np.where(finite, 0.0, np.nan))
        gap = np.zeros((len(self.unit), self._treated_x.shape[1]))
        np.add.at(gap, self._set, weight[:, None] * (self._treated_x - self._control_x))
        return gap

    def _sums(self, change: Floats, draws: Iterable[Floats]) -> _Sums:
        blocks, columns = len(self._resamples), self._treated_x.shape[1] if self.adjusts else 0
        _, control, weight = self._by_set(change)
        gap, xx = np.zeros((blocks, columns)), np.zeros((blocks, columns, columns))
        np.add.at(gap, self._block, self._gaps(np.isfinite(change))[:, :columns])
        x = _centred(self._control_x[:, :columns], weight, self._row)
        at = self._block[self._set]
        np.add.at(xx, at, weight[:, None, None] * x[:, :, None] * x[:, None, :])
        difference, xy = [], []
        for each in chain([change], draws):
            one, other, _ = self._by_set(each)
            difference.append(np.bincount(self._block, np.nan_to_num(one - other), minlength=blocks))
            y = _centred(np.nan_to_num(self._pairs(each)[1])[:, None], weight, self._row)
            xy.append(np.zeros((blocks, columns)))
            np.add.at(xy[-1], at, weight[:, None] * x * y)
        sets = np.bincount(self._block, np.isfinite(control), minlength=blocks).astype(np.float64)
        return _Sums(sets, np.stack(difference), gap, xx, np.stack(xy))

    def _values(self, sums: _Sums, which: Integers) -> Floats:
        """The effect in each resample, of the draw that is taken in it, (1 + R,)."""
        number = sums.sets @ self._resamples
        total = np.einsum("rb,br->r", sums.difference[which], self._resamples)
        if sums.gap.shape[1]:
            xx = np.einsum("bij,br->rij", sums.xx, self._resamples, optimize=True)
            xy = np.einsum("rbi,br->ri", sums.xy[which], self._resamples, optimize=True)
            total = total - ((sums.gap.T @ self._resamples).T * _slopes(xx, xy)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / number)

    def _shared_controls(self, change: Floats, value: float) -> float:
        """By how much the standard error grows as controls of one block serve treated units of several blocks.

        The variance clustered by the blocks of treated units and of controls over that by treated units alone (Cameron,
        Gelbach and Miller 2011, JBES 29:238): V = V(treated) + V(controls) - V(both).
        """
        treated, control, known = self._pairs(change)
        _, _, weight = self._by_set(change)
        error = np.where(known, weight * (np.nan_to_num(treated - control) - value), 0)
        one, other = self._block[self._set], self._control_block
        both = np.unique(one * (other.max() + 1) + other, return_inverse=True)[1]
        by_treated, by_control, by_both = ((np.bincount(group, error) ** 2).sum() for group in (one, other, both))
        return float(np.sqrt(max(1.0, 1 + (by_control - by_both) / by_treated))) if by_treated > 0 else 1.0

    def _interval(self, values: Floats, sets: Floats, widening: float) -> Effect:
        """Value and interval: the bootstrap's standard error times the quantile of Student's t, as blocks are few."""
        blocks = float(sets.sum() ** 2 / max((sets**2).sum(), 1))
        again = values[1:][np.isfinite(values[1:])]
        if blocks < 1.5 or len(again) < 2:
            return Effect(float(values[0]), np.nan, np.nan, np.nan, int(sets.sum()), blocks, values[1:])
        error = float(again.std(ddof=1) * np.sqrt(blocks / (blocks - 1))) * widening
        reach = float(stats.t.ppf(0.5 + self.config.confidence / 2, blocks - 1)) * error
        value = float(values[0])
        return Effect(value, value - reach, value + reach, error, int(sets.sum()), blocks, values[1:])


def _slopes(xx: Floats, xy: Floats) -> Floats:
    """Regression coefficients; a ridge of one observation keeps those that a resample cannot tell apart near zero."""
    found = np.linalg.solve(xx + np.eye(xx.shape[-1]), xy[..., None])
    return np.asarray(found[..., 0])


def _centred(values: Floats, weight: Floats, group: Integers) -> Floats:
    """Values (P, C) less their weighted mean in each group, so that dates of treatment have levels of their own."""
    total = np.maximum(np.bincount(group, weight), 1e-12)
    sums = np.zeros((len(total), values.shape[1]))
    np.add.at(sums, group, weight[:, None] * values)
    return np.asarray(values - (sums / total[:, None])[group])


def baci(study: Study, estimator: Estimator) -> Effect:
    """The effect of a study, with the outcome's own error where it has joint draws."""
    return estimator.effect(study.changes(), (study.changes(number) for number in range(study.draw_count)))

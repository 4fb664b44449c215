"""Numbers of presences in square zones: those observed, those expected, and intervals from joint draws."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.geo.grid import Floats
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.joint_fit import HeldOut

_LEAST = 5  # presences that must be expected in a zone for a species' interval to be counted
_CELLS = 2000  # single surveys that are looked at


@dataclass(frozen=True)
class Totals:
    """Numbers of presences in zones: those observed, and their intervals by method.

    Attributes:
        observed: (Q,), one for each zone and, of species, each species.
        expected: sum of the probabilities, (Q,).
        deviation: standard deviation if errors were independent, (Q,).
        low: of the joint draws, (Q,).
        high: likewise, (Q,).
    """

    observed: Floats
    expected: Floats
    deviation: Floats
    low: Floats
    high: Floats

    @property
    def scores(self) -> Floats:
        """Standard deviations between observed and expected numbers, with a correction for continuity."""
        return np.maximum(np.abs(self.observed - self.expected) - 0.5, 0) / np.maximum(self.deviation, 1e-9)

    def covered(self, method: str, z: float, conformal: float) -> NDArray[np.bool_]:
        """Whether the interval of a method holds what was observed, (Q,)."""
        if method == "joint":
            return (self.low <= self.observed) & (self.observed <= self.high)
        return self.scores <= (conformal if method == "conformal" else z)


def zone_totals(
    data: HeldOut, size: float, level: float, drawn: JointDraws | None, *, seed: int = 0
) -> dict[str, Totals]:
    """Totals of `richness` and of `species` in zones of one size.

    Numbers of presences are whole, and both limits belong to an interval: those of small numbers hold a little more
    often than their level.

    Args:
        data: predictions and observations.
        size: side of a zone, metres; 0 for single surveys, of which at most 2,000 are looked at.
        level: of the intervals.
        drawn: joint draws; None for no intervals.
        seed: of the choice of single surveys.
    """
    if size == 0:
        chosen = np.random.default_rng(seed).permutation(len(data.x))[:_CELLS]
        data, zone = data.rows(np.sort(chosen)), np.arange(min(_CELLS, len(data.x)))
    else:
        zone = np.unique(block_id(data.x, data.y, Blocks(size_m=size)), return_inverse=True)[1]
    zones = csr_array((np.ones(len(zone), np.float32), (zone, np.arange(len(zone)))))
    expected = (zones @ data.probability).T
    variance = (zones @ (data.probability * (1 - data.probability))).T
    observed = (zones @ data.labels.astype(np.float32)).T
    low, high, together = np.zeros_like(expected), np.zeros_like(expected), np.zeros((2, zones.shape[0]))
    if drawn is not None:
        presences = drawn.zone_sums(data.x, data.y, data.probability.T.astype(np.float32), zones).presences()
        tail = (1 - level) / 2
        low, high = np.quantile(presences, [tail, 1 - tail], axis=2)
        together = np.quantile(presences.sum(0), [tail, 1 - tail], axis=1)
    counted = expected >= _LEAST
    sums = [each.sum(0) for each in (observed, expected, variance)]
    return {
        "richness": Totals(sums[0], sums[1], np.sqrt(sums[2]), together[0], together[1]),
        "species": Totals(*(each[counted] for each in (observed, expected, np.sqrt(variance), low, high))),
    }

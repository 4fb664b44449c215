"""How often intervals hold the observed figure, in blocks that were held out from the model and from the intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtri

from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.geo.grid import Floats
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.joint_fit import FitSettings, HeldOut, fit_error_model

_LEAST = 5  # presences that must be expected in a zone for a species' interval to be counted
_CELLS = 2000  # single surveys that are looked at in each fold
METHODS = ("joint", "independent", "conformal")


@dataclass(frozen=True)
class CoverageSettings:
    """How coverage is measured.

    Attributes:
        zones_m: sides of the square zones, metres; 0 for single surveys.
        level: nominal coverage.
        draws: of the errors.
        seed: of the draws and samples.
    """

    zones_m: tuple[float, ...] = (0.0, 10_000.0, 100_000.0)
    level: float = 0.9
    draws: int = 200
    seed: int = 0


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


def coverage(
    training: Sequence[HeldOut], tested: Sequence[HeldOut], species: Sequence[str], fit: FitSettings,
    settings: CoverageSettings,
) -> pd.DataFrame:  # fmt: skip
    """Coverage of the intervals of richness and of species by size of zone.

    Args:
        training: predictions that intervals are fitted on, one for each fold.
        tested: predictions of the fold's own blocks, which neither its model nor `training` knows.
        species: names, (S,).
        fit: of the error model.
        settings: of the measure.

    Returns:
        One row for each size and quantity (`richness`: presences of all species in a zone; `species`: presences of each
        species of which at least 5 are expected): number of intervals, share covered by method, and how much wider the
        joint intervals are than independent ones (median).
    """
    found: dict[tuple[float, str], list[tuple[Totals, float]]] = {}
    for known, held_out in zip(training, tested, strict=True):
        model = fit_error_model(known, species, fit)
        for size in settings.zones_m:
            drawn = JointDraws(model, settings.draws, settings.seed, site=size == 0)
            fitted = _totals(drawn, known, size, settings, intervals=False)
            for quantity, totals in _totals(drawn, held_out, size, settings).items():
                scores = fitted[quantity].scores
                cut = float(np.quantile(scores, settings.level, method="higher")) if len(scores) else np.nan
                found.setdefault((size, quantity), []).append((totals, cut))
    return pd.DataFrame([_row(size, quantity, each, settings) for (size, quantity), each in found.items()])


def _totals(
    drawn: JointDraws, data: HeldOut, size: float, settings: CoverageSettings, *, intervals: bool = True
) -> dict[str, Totals]:
    """Totals of richness and of species in zones of one size."""
    if size == 0:
        chosen = np.random.default_rng(settings.seed).permutation(len(data.x))[:_CELLS]
        data, zone = data.rows(np.sort(chosen)), np.arange(min(_CELLS, len(data.x)))
    else:
        zone = np.unique(block_id(data.x, data.y, Blocks(size_m=size)), return_inverse=True)[1]
    zones = csr_array((np.ones(len(zone), np.float32), (zone, np.arange(len(zone)))))
    expected = (zones @ data.probability).T
    variance = (zones @ (data.probability * (1 - data.probability))).T
    observed = (zones @ data.labels.astype(np.float32)).T
    low, high, together = np.zeros_like(expected), np.zeros_like(expected), np.zeros((2, zones.shape[0]))
    if intervals:
        presences = drawn.zone_sums(data.x, data.y, data.probability.T.astype(np.float32), zones).presences()
        tail = (1 - settings.level) / 2
        low, high = np.quantile(presences, [tail, 1 - tail], axis=2)
        together = np.quantile(presences.sum(0), [tail, 1 - tail], axis=1)
    counted = expected >= _LEAST
    sums = [each.sum(0) for each in (observed, expected, variance)]
    return {
        "richness": Totals(sums[0], sums[1], np.sqrt(sums[2]), together[0], together[1]),
        "species": Totals(*(each[counted] for each in (observed, expected, np.sqrt(variance), low, high))),
    }


def _row(
    size: float, quantity: str, parts: list[tuple[Totals, float]], settings: CoverageSettings
) -> dict[str, float | int | str]:
    z = float(ndtri((1 + settings.level) / 2))
    shares = {
        method: np.concatenate([totals.covered(method, z, cut) for totals, cut in parts]) for method in METHODS
    }  # fmt: skip
    width = np.concatenate([(each.high - each.low) / (2 * z * np.maximum(each.deviation, 1e-9)) for each, _ in parts])
    many = len(width) > 0
    return {
        "zone_km": size / 1000,
        "quantity": quantity,
        "intervals": len(width),
        **{method: float(each.mean()) if many else np.nan for method, each in shares.items()},
        "joint_width": float(np.median(width)) if many else np.nan,
    }

"""Intervals of zones from joint draws of a map's errors, which unlike sums of variances hold for zones of any size."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.splitmix import GOLDEN, mix, unit
from sdm_ray.geo.windows import Window
from sdm_ray.indicators.error_model import read_error_model
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.zone_sums import ZoneSums

Floats = NDArray[np.float32]
MOST_CELLS = 1000  # of a zone, about, that are drawn: errors of neighbouring cells are nearly one
_ROWS = 4096  # cells at once


@dataclass(frozen=True)
class Drawn:
    """What is drawn in every zone.

    Attributes:
        errors: artefact of `sdm-ray errors`.
        species: of the map.
        sums: name -> species that are summed up, (S,).
        shares: share of each zone's cells that are drawn, at most 1, (Z,).
        draws: how many.
        seed: of the draws.
    """

    errors: str
    species: list[str]
    sums: Mapping[str, NDArray[np.bool_]]
    shares: NDArray[np.float64]
    draws: int
    seed: int

    def start(self) -> JointDraws:
        """The draws.

        Raises:
            InputError: the artefact is none, or does not know a species.
        """
        model = read_error_model(UPath(self.errors))[0].select(self.species, self.errors)
        return JointDraws(model, self.draws, self.seed)


@dataclass
class ZoneDraws:
    """Sums over the drawn cells of zones.

    Attributes:
        zones: numbers of the zones, (Z,).
        cells: sum of their fractions, (Z,).
        mapped: name -> sum of the mapped richness, (Z,).
        drawn: name -> draws of the same sum, (Z, D).
    """

    zones: NDArray[np.int64]
    cells: NDArray[np.float64]
    mapped: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    drawn: dict[str, Floats] = field(default_factory=dict)


class IntervalSums:
    """Draws of sums over the zones of one window, block of species by block."""

    def __init__(self, drawn: Drawn, zones: ZoneSums, grid: Grid, window: Window, known: NDArray[np.int64]) -> None:
        """Choose the cells; which of a zone are drawn follows from their place alone, whatever the windows.

        Args:
            drawn: what is drawn.
            zones: of the window.
            grid: of the map.
            window: of the grid.
            known: flat numbers in the window of the cells with values, (N,).
        """
        rows, cols = np.divmod(known[zones.used], window.width)
        x, y = grid.centre(rows + window.row, cols + window.col)
        key = np.round(x / grid.resolution).astype(np.int64) * (1 << 32) + np.round(y / grid.resolution).astype(
            np.int64
        )
        number = unit(mix(key.astype(np.uint64) * GOLDEN))
        weights = zones.fractions.copy()
        share = np.repeat(drawn.shares[zones.zones], np.diff(weights.indptr))
        weights.data *= number[weights.indices] <= share
        weights.eliminate_zeros()
        self._cells = np.unique(weights.indices)
        self._weights = weights[:, self._cells].tocsc()
        self._x, self._y = x[self._cells], y[self._cells]
        self._drawn, self._draws = drawn, drawn.start()
        self._zones = zones.zones
        shape = (len(self._cells), drawn.draws)
        self._totals = {name: np.zeros(shape, np.float32) for name in drawn.sums}
        self._mapped = {name: np.zeros(len(self._cells), np.float32) for name in drawn.sums}

    def add(self, block: slice, p: Floats) -> None:
        """Add a block of species.

        Args:
            block: their numbers.
            p: probabilities in the cells that lie in zones, (U, K).
        """
        here = np.ascontiguousarray(p[self._cells].T)
        for name, wanted in self._drawn.sums.items():
            self._mapped[name] += here[wanted[block]].sum(axis=0)
        for start in range(0, len(self._cells), _ROWS):
            rows = slice(start, start + _ROWS)
            drawn = self._draws.probabilities(self._x[rows], self._y[rows], here[:, rows], block)
            for number, q in enumerate(drawn, block.start):
                for name, wanted in self._drawn.sums.items():
                    if wanted[number]:
                        self._totals[name][rows] += q

    def result(self) -> ZoneDraws:
        """The sums over zones."""
        cells = np.asarray(self._weights.sum(axis=1)).ravel()
        found = ZoneDraws(self._zones, cells)
        for name, total in self._totals.items():
            found.drawn[name] = self._weights @ total
            found.mapped[name] = self._weights @ self._mapped[name]
        return found


def intervals(
    parts: list[ZoneDraws], means: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], level: float
) -> dict[str, NDArray[np.float64]]:
    """Limits of the mean richness of zones, `NAME_low` and `NAME_high`, (Z,) each.

    A draw of a zone is its mean over all cells, plus how far the drawn cells lie above what is mapped for them, plus a
    normal number with the variance of the presences given the probabilities, which cells have independently.

    Args:
        parts: of all windows.
        means: name -> mean over all cells and its standard deviation if cells are independent, (Z,).
        level: probability that an interval holds.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for name, (mean, sd) in means.items():
        count, draws = len(mean), parts[0].drawn[name].shape[1]
        total, mapped, cells = np.zeros((count, draws)), np.zeros(count), np.zeros(count)
        for each in parts:
            total[each.zones] += each.drawn[name]
            mapped[each.zones] += each.mapped[name]
            cells[each.zones] += each.cells
        with np.errstate(divide="ignore", invalid="ignore"):
            above = (total - mapped[:, None]) / cells[:, None]
        noise = np.random.default_rng([draws, len(found)]).standard_normal((count, draws))
        every = mean[:, None] + above + noise * sd[:, None]
        low, high = np.quantile(every, [(1 - level) / 2, (1 + level) / 2], axis=1)
        found[f"{name}_low"], found[f"{name}_high"] = np.maximum(low, 0), high
    return found

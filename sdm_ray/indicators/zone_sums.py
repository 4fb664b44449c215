"""Sums of layers and of species over the zones that a tile touches."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.indicators.fractions import cell_fractions

Floats = NDArray[np.float32]
_AT_ONCE = 1 << 22  # probabilities gathered at once to find their maximum


@dataclass(frozen=True)
class Shapes:
    """The polygons of all zones, small to send to workers.

    Attributes:
        wkb: of each zone, EPSG:3035, (Z,).
        bounds: west, south, east, north of each, NaN where a zone is empty, (Z, 4).
    """

    wkb: list[bytes]
    bounds: NDArray[np.float64]

    @classmethod
    def of(cls, shapes: NDArray[np.object_]) -> "Shapes":
        """The polygons of an array of geometries."""
        return cls([bytes(each) for each in shapely.to_wkb(shapes)], shapely.bounds(shapes))

    def touching(self, bounds: tuple[float, float, float, float]) -> NDArray[np.int64]:
        """Numbers of the zones whose bounding box meets a box."""
        west, south, east, north = bounds
        left, bottom, right, top = self.bounds.T
        return np.flatnonzero((left < east) & (right > west) & (bottom < north) & (top > south))


class ZoneSums:
    """Sums over the cells of one window in each zone that it touches.

    Attributes:
        zones: numbers of the zones, (Z,).
        cells: sum of the fractions of the window's cells in each zone, (Z,).
    """

    def __init__(self, shapes: Shapes, grid: Grid, window: Window, known: NDArray[np.int64]) -> None:
        """Find the fractions.

        Args:
            shapes: all zones.
            grid: of the map.
            window: of the grid.
            known: flat numbers in the window of the cells that layers and probabilities are given for, (N,).
        """
        west, north = grid.x0 + window.col * grid.resolution, grid.y1 - window.row * grid.resolution
        south, east = north - window.height * grid.resolution, west + window.width * grid.resolution
        near = shapes.touching((west, south, east, north))
        fractions = cell_fractions([shapes.wkb[number] for number in near], grid, window)
        met = np.flatnonzero(np.diff(fractions.indptr))
        self.zones, fractions = near[met], fractions[met]
        self.cells = np.asarray(fractions.sum(axis=1)).ravel()
        fractions = fractions[:, known]
        self.used = np.unique(fractions.indices)
        """Which of the known cells lie in a zone."""
        self.fractions = csr_matrix(fractions[:, self.used], dtype=np.float32)
        """Of these cells in each zone, (Z, U)."""
        self._squares = self.fractions.power(2)

    def layer(self, values: NDArray[np.floating], sd: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
        """Sums of one layer.

        Args:
            values: of the known cells, NaN where there is none, (N,).
            sd: standard deviations of the values, (N,).

        Returns:
            Sum of fractions f of cells with a value x, sum of f x, of f x^2 and of f^2 sd^2, (4, Z).
        """
        x = np.asarray(values, np.float64)[self.used]
        has = np.isfinite(x)
        x = np.where(has, x, 0)
        found = [self.fractions @ each for each in (has.astype(np.float64), x, x * x)]
        if sd is None:
            return np.stack([*found, np.full(len(self.zones), np.nan)])
        error = np.where(has, np.asarray(sd, np.float64)[self.used], 0)
        return np.stack([*found, self._squares @ np.square(np.where(np.isfinite(error), error, 0))])

    def species(self, p: Floats) -> Floats:
        """Sums of species.

        Args:
            p: probabilities in the cells `used`, (U, K).

        Returns:
            Sum of f p, of f^2 p (1 - p), and the highest p, (3, Z, K).
        """
        return np.stack([self.fractions @ p, self._squares @ (p - p * p), self._highest(p)])

    def _highest(self, p: Floats) -> Floats:
        """The highest probability of each species in each zone, 0 where a zone has no known cell, (Z, K)."""
        starts, columns = self.fractions.indptr, self.fractions.indices
        found = np.zeros((len(self.zones), p.shape[1]), np.float32)
        filled = np.flatnonzero(np.diff(starts))
        if not len(filled):
            return found
        step = max(1, _AT_ONCE // max(1, len(columns)))
        for first in range(0, p.shape[1], step):
            some = slice(first, first + step)
            found[filled, some] = np.maximum.reduceat(p[columns, some], starts[filled], axis=0)
        return found

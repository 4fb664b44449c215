"""Where a map is wanted: land, countries and surveys, by window of the map's grid."""

import math
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import shapely
from scipy.spatial import KDTree
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.quality_layers import SEA
from sdm_ray.stores.land import Land


@dataclass(frozen=True)
class Area:
    """The cells of a map; small to send to a worker, which opens the land store itself.

    Attributes:
        land: the land store.
        grid: the map's grid, a window of the land store's.
        places: distinct centres of cells with surveys, metres east and north, float64 (P, 2); none without surveys.
        countries: numbers of the countries that those cells lie in.
        surveyed_only: whether only cells with surveys are wanted.
        chosen: numbers of the countries wanted; None for all.
        outline: polygons that wanted cells' centres lie in, EPSG:3035; None for no limit.
        reach: most metres from a wanted cell to the nearest with a survey.
    """

    land: str
    grid: Grid
    places: np.ndarray
    countries: np.ndarray
    surveyed_only: bool
    chosen: tuple[int, ...] | None = None
    outline: shapely.Geometry | None = None
    reach: float = math.inf

    def wanted(self, window: Window) -> np.ndarray:
        """Mask of the wanted cells, bool (height, width)."""
        mask = self._surveyed(window) if self.surveyed_only else self._land.land(self._in_land(window))
        if self.chosen is not None:
            mask &= np.isin(self.country(window), self.chosen)
        limits = [self._within] if self.outline is not None else []
        limits += [self._reached] if self.reach < math.inf else []
        for limit in limits:
            rows, cols = np.nonzero(mask)  # only what is left is worth asking about
            mask[rows, cols] = limit(*self.grid.centre(rows + window.row, cols + window.col))
        return mask

    def country(self, window: Window) -> np.ndarray:
        """Number of the country of cells, 0 for none, int16 (height, width)."""
        return self._land.country(self._in_land(window))

    def nearest_country(self, window: Window, wanted: np.ndarray) -> np.ndarray:
        """As `country`, and of wanted cells without one that of the nearest, as surveys there have; int64."""
        numbers = self.country(window).astype(np.int64)
        rows, cols = np.nonzero(wanted & (numbers == 0))
        if len(rows):
            numbers[rows, cols] = self._land.countries_of(*self.grid.centre(rows + window.row, cols + window.col))
        return numbers

    def surveyed_country(self, window: Window) -> np.ndarray:
        """1 where the cell's country has a survey, 0 where not; uint8 (height, width).

        255 at sea, and everywhere where no surveys were given.
        """
        if not len(self.places):
            return np.full((window.height, window.width), SEA, np.uint8)
        there = self._in_land(window)
        known = np.isin(self.country(window), self.countries)
        return np.where(known, np.uint8(1), np.where(self._land.land(there), np.uint8(0), np.uint8(SEA)))

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Metres to the centre of the nearest cell with a survey, float32 (N,); NaN where there is no survey.

        Far from all surveys a search among all of them looks at most of them. What is nearest to any of the points is
        no farther from their middle than what is nearest to the middle, and twice to the outermost point and back.
        """
        if not (len(self.places) and len(x)):
            return np.full(len(x), np.nan, np.float32)
        points = np.column_stack([x, y])
        middle = points.mean(axis=0)
        outermost = np.hypot(*(points - middle).T).max()
        near = self._tree.query_ball_point(middle, self._tree.query(middle)[0] + 2 * outermost + 1)
        tree = KDTree(self.places[near], balanced_tree=False, compact_nodes=False)  # asked once: quick to build
        return tree.query(points)[0].astype(np.float32)

    def __getstate__(self) -> dict[str, object]:
        """The fields alone: neither an open store nor the tree."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _within(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        shapely.prepare(self.outline)
        return shapely.contains_xy(self.outline, x, y)

    def _reached(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.distance(x, y) <= self.reach

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.places)

    @cached_property
    def _land(self) -> Land:
        return Land(UPath(self.land))

    def _in_land(self, window: Window) -> Window:
        return window.shifted(*offset(self._land.grid, self.grid))

    def _surveyed(self, window: Window) -> np.ndarray:
        rows, cols = self.grid.cell(self.places[:, 0], self.places[:, 1])
        rows, cols = rows - window.row, cols - window.col
        inside = (rows >= 0) & (rows < window.height) & (cols >= 0) & (cols < window.width)
        mask = np.zeros((window.height, window.width), bool)
        mask[rows[inside], cols[inside]] = True
        return mask


def offset(outer: Grid, inner: Grid) -> tuple[int, int]:
    """Row and column in `outer` of the first cell of `inner`."""
    return round((outer.y1 - inner.y1) / outer.resolution), round((inner.x0 - outer.x0) / outer.resolution)


def check_covers(outer: Grid, inner: Grid, where: str) -> None:
    """Refuse a grid that is no window of another.

    Raises:
        InputError: other cells, or cells beyond its edge.
    """
    row, col = offset(outer, inner)
    outside = row < 0 or col < 0 or row + inner.height > outer.height or col + inner.width > outer.width
    if outer.resolution != inner.resolution or outside:
        raise InputError(
            f"{where} covers {list(outer.bounds)} with cells of {outer.resolution:g} m;"
            f" the map covers {list(inner.bounds)} with {inner.resolution:g} m"
        )


def grid_within(land: Land, extent: tuple[float, float, float, float] | None, resolution: int) -> Grid:
    """The map's grid: that of a land store, or a part of it.

    Raises:
        InputError: another resolution, or an extent that the land store does not cover.
    """
    outer = land.grid
    if outer.resolution != resolution:
        raise InputError(f"resolution_m: {resolution}, but {land.path} has cells of {outer.resolution:g} m")
    if extent is None:
        return outer
    west, south, east, north = extent
    grid = Grid(west, north, outer.resolution, round((east - west) / resolution), round((north - south) / resolution))
    row, col = offset(outer, grid)
    if row < 0 or col < 0 or row + grid.height > outer.height or col + grid.width > outer.width:
        raise InputError(f"extent: {list(extent)} reaches beyond {land.path}, which covers {list(outer.bounds)}")
    return grid


def surveyed_cells(grid: Grid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distinct centres (P, 2) of cells of the map's grid, continued beyond its edges, that hold surveys.

    Args:
        grid: the map's grid.
        x: of the surveys, EPSG:3035 metres, (N,).
        y: likewise.
    """
    rows, cols = grid.cell(x, y)
    cells = np.unique(np.column_stack([rows, cols]), axis=0)
    return np.column_stack(grid.centre(cells[:, 0], cells[:, 1]))

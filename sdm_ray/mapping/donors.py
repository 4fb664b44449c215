"""Donor cells of a scenario: places whose covariates and images stand for what changed land becomes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Floats
from sdm_ray.geo.splitmix import GOLDEN, mix, unit
from sdm_ray.mapping.scenario_config import DonorsConfig
from sdm_ray.stores.covariates import Covariates

Values = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Values of covariates at points, and which of them are known."""


@dataclass(frozen=True)
class Donors:
    """Donor cells of some changed land.

    Attributes:
        places: centres of the donor cells, EPSG:3035 metres, (D, 2).
        covariates: names of the covariates that are taken from them.
        nearest: how many of the nearest one is drawn from.
        seed: of the draw.
    """

    places: Floats
    covariates: tuple[str, ...]
    nearest: int
    seed: int

    def drawn(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Centre of the donor cell of each changed cell, which follows from the seed and the cell's place alone."""
        count = min(self.nearest, len(self.places))
        _, near = self._tree.query(np.column_stack([x, y]), count)
        key = np.floor(x).astype(np.int64) * (1 << 32) + np.floor(y).astype(np.int64)
        stream = mix(np.array([self.seed], np.uint64) * GOLDEN)
        number = unit(mix((key.astype(np.uint64) + stream) * GOLDEN))
        chosen = near.reshape(len(x), count)[np.arange(len(x)), (number * count).astype(int)]
        return self.places[chosen, 0], self.places[chosen, 1]

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.places)


class Land(Protocol):
    """Covariates that donor cells are looked for among, as a scenario has them before parcels change."""

    @property
    def store(self) -> Covariates:
        """The store whose cells may be donors."""
        ...

    def at(self, x: Floats, y: Floats) -> Values:
        """Values of the model's covariates at points, and which of them are known, (N, C) each."""
        ...

    def asked(self, names: Iterable[str], reason: str, x: Floats, y: Floats) -> dict[str, Values]:
        """Name -> the same of any covariate of the stores, (N,) each; `reason` ends the error where there is none."""
        ...


def find(
    config: DonorsConfig,
    land: Land,
    taken: NDArray[np.int64],
    changed: shapely.Geometry,
    within: shapely.Geometry | None,
) -> Floats:
    """Centres of the cells of a covariate store that may be donors, (D, 2).

    Args:
        config: what tells them.
        land: whose cells they are.
        taken: positions, among the model's covariates, of those that are taken; a donor knows them all.
        changed: polygons of the changed land, whose cells are no donors.
        within: polygons that they lie in as well; None for anywhere within `search_m` of the changed land.

    Raises:
        InputError: the store lacks a covariate, or no cell is like that.
    """
    west, south, east, north = shapely.bounds(changed)
    reach = config.search_m
    x, y = centres(land.store, (west - reach, south - reach, east + reach, north + reach))
    shapely.prepare(changed)
    keep = ~shapely.contains_xy(changed, x, y)
    if within is not None:
        keep &= shapely.contains_xy(within, x, y)
    x, y = x[keep], y[keep]
    keep = shapely.dwithin(changed, shapely.points(x, y), reach)
    x, y = x[keep], y[keep]
    if config.where:
        found = land.asked(config.where, ", which scenario.parcels.donors.where names", x, y)
        if found.keys() != config.where.keys():
            raise InputError("scenario.parcels.donors.where: expected covariates, not the name of all their classes")
        at_least = [known & (values >= np.float32(config.where[name])) for name, (values, known) in found.items()]
        keep = np.all(at_least, axis=0)
        x, y = x[keep], y[keep]
    keep = land.at(x, y)[1][:, taken].all(axis=1)
    x, y = x[keep], y[keep]
    if not len(x):
        told = ", ".join(f"{name} >= {least:g}" for name, least in config.where.items())
        asked = f" with {told}" if told else " in the polygons of `like`"
        raise InputError(
            f"scenario.parcels.donors: no cell of {land.store.path}{asked} within {reach:g} m of the changed land knows"
            " all covariates that are taken; expected a lower limit, a larger search_m or fewer `covariates`"
        )
    return np.column_stack([x, y])


def centres(store: Covariates, box: tuple[float, float, float, float]) -> tuple[Floats, Floats]:
    """Centres of the store's cells in a box."""
    west, south, east, north = box
    grid = store.grid
    rows, cols = grid.cell(np.array([west, east]), np.array([north, south]))
    if rows[1] < 0 or cols[1] < 0 or rows[0] >= grid.height or cols[0] >= grid.width:
        nothing: NDArray[np.float64] = np.zeros(0)
        return nothing, nothing
    (top, bottom), (left, right) = np.clip(rows, 0, grid.height - 1), np.clip(cols, 0, grid.width - 1)
    inside = np.mgrid[top : bottom + 1, left : right + 1].reshape(2, -1)
    return grid.centre(*inside)

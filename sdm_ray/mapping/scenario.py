"""Scenarios: covariates and images changed before a model sees them.

Covariates change everywhere by another store; in parcels by values, or by those of donor cells, whose images are then
shown as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import Floats, Grid
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.donors import Donors, Values, centres, find
from sdm_ray.mapping.scenario_config import ParcelsConfig, ScenarioConfig
from sdm_ray.progress import say
from sdm_ray.readers.polygons import outline
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.embedding_sources import require_same


@dataclass(frozen=True)
class Parcels:
    """Land that becomes something else.

    Attributes:
        shape: polygons in EPSG:3035.
        values: covariate -> its value there.
        donors: cells that covariates and images are taken from; None for none.
    """

    shape: shapely.Geometry
    values: dict[str, float]
    donors: Donors | None = None


@dataclass(frozen=True)
class Scenario:
    """A scenario that fits its model and map; small and picklable.

    Attributes:
        store: covariate store whose values replace those of the same names; None where none does.
        parcels: land that becomes something else; the last counts.
    """

    store: str | None
    parcels: tuple[Parcels, ...]


def prepare_all(config: MapConfig, covariates: Covariates | None, grid: Grid) -> tuple[Scenario | None, ...]:
    """The scenarios of a map; None where nothing changes.

    Raises:
        InputError: the model has no covariates, or as `prepare`.
    """
    if config.scenario is None and not config.scenarios:
        return (None,)
    if covariates is None:
        raise InputError(f"scenario: {config.path(config.model)} uses no covariates, so that none can change")
    found: list[Scenario | None] = [None] if config.scenarios else []
    for each in config.scenarios.values() if config.scenario is None else [config.scenario]:
        if config.cube is not None and not all(parcels.donors for parcels in each.parcels):
            say("map: scenario: covariates change; images of the cube change in parcels with `donors` alone")
        place = None if each.covariates is None else config.path(each.covariates)
        found.append(prepare(each, place, covariates, grid, config.seed))
    return tuple(found)


def prepare(config: ScenarioConfig, place: UPath | None, base: Covariates, grid: Grid, seed: int = 0) -> Scenario:
    """Check a scenario against what the model uses, and take values from donors.

    Args:
        config: of the scenario.
        place: of its covariate store.
        base: the model's covariates of today.
        grid: of the map.
        seed: of the draw of donors.

    Raises:
        InputError: it changes no covariate that the model uses, a covariate is unknown, polygons lie outside the map or
            donors have no known values.
    """
    if place is not None:
        other = Covariates(place)
        names = other.names
        used = [name for name in base.names if name in names]
        # Another year is what a scenario may be, another version is not.
        of_any_year = [each.model_copy(update={"year": None}) for each in base.embeddings if each.among(used)]
        require_same(
            of_any_year, other.embeddings, f"scenario.covariates: {place}", ", as in the covariates of the map"
        )
        if not used:
            raise InputError(
                f"scenario.covariates: {place} has none of the model's covariates; expected some of {few(base.names)}"
            )
        say(f"map: scenario: {len(used)} of {len(base.names)} covariates from {place}: {few(used)}")
    start = Scenario(None if place is None else str(place), ())
    before = ChangedCovariates(base, start)
    parcels = tuple(_parcels(each, before, grid, seed) for each in config.parcels)
    return Scenario(start.store, parcels)


def _parcels(config: ParcelsConfig, before: "ChangedCovariates", grid: Grid, seed: int) -> Parcels:
    shape = outline(config.within)
    if not shapely.box(*grid.bounds).intersects(shape):
        raise InputError(f"{config.within}: its polygons lie outside the map, which covers {list(grid.bounds)}")
    names = before.names
    if unknown := [name for name in (*config.set, *(config.covariates or [])) if name not in names]:
        raise InputError(f"scenario.parcels: the model uses no covariate {unknown[0]}; found {few(names, 12)}")
    values, donors, told = dict[str, float](), None, list[str]()
    if config.donors is not None:
        like = None if config.like is None else outline(config.like)
        taken = config.covariates or names
        columns = np.array([names.index(name) for name in taken])
        places = find(config.donors, before, columns, shape, like)
        donors = Donors(places, tuple(taken), config.donors.nearest, seed)
        told.append(f"like their donors, of which there are {len(places)}")
    elif config.like is not None:
        values = before.means(config.like, config.covariates or names)
    values |= config.set
    told += [f"{name} = {value:.4g}" for name, value in list(values.items())[:6]]
    say(f"map: scenario: {shapely.area(shape) / 1e6:.1f} km2 of {config.within} become {', '.join(told)}")
    return Parcels(shape, values, donors)


class ChangedCovariates:
    """A model's covariates as a scenario has them; read like the store itself.

    Args:
        base: the covariates of today.
        scenario: what changes.
    """

    def __init__(self, base: Covariates, scenario: Scenario) -> None:
        self.names = base.names
        self._base, self._parcels = base, scenario.parcels
        self._other, self._columns = None, np.zeros(0, np.int64)
        if scenario.store is not None:
            other = Covariates(UPath(scenario.store))
            shared = [name for name in base.names if name in other.names]
            self._other = other.select(shared)
            self._columns = np.array([base.names.index(name) for name in shared])
        for each in self._parcels:
            shapely.prepare(each.shape)

    @property
    def store(self) -> Covariates:
        """All covariates of the store of today."""
        return Covariates(self._base.path)

    def asked(self, names: Iterable[str], reason: str, x: Floats, y: Floats) -> dict[str, Values]:
        """Name -> values of any covariate at points, used by the model or not, and which of them are known, (N,) each.

        Args:
            names: of the covariates; those that the scenario's store has are its, others are today's.
            reason: who needs them, at the end of the message where one is missing.
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).

        Raises:
            InputError: neither store has a covariate of such a name.
        """
        stores, rest = [self.store], list(names)
        found: dict[str, Values] = {}
        if self._other is not None:
            stores.insert(0, Covariates(self._other.path))
        for store in stores:
            some = rest if store is stores[-1] else [name for name in rest if name in store.names]
            rest = [name for name in rest if name not in some]
            if some:
                selected = store.select(some, reason)
                values, known = selected.at(x, y)
                found |= {name: (values[:, each], known[:, each]) for each, name in enumerate(selected.names)}
        return found

    def image_places(self, x: Floats, y: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Where the images that cells are shown lie, and which of these places are donors', (N,) each."""
        at_x, at_y, moved = np.array(x, np.float64), np.array(y, np.float64), np.zeros(len(x), bool)
        if all(each.donors is None for each in self._parcels):
            return at_x, at_y, moved
        parcel = self._parcel(x, y)
        for number, each in enumerate(self._parcels):
            here = parcel == number
            if each.donors is not None and here.any():
                at_x[here], at_y[here] = each.donors.drawn(x[here], y[here])
                moved |= here
        return at_x, at_y, moved

    def at(self, x: Floats, y: Floats) -> Values:
        """Values at points (N, C), and which of them are known (N, C); see `Covariates.at`."""
        return self._changed(x, y, self._parcel(x, y))

    def distinct(self, x: Floats, y: Floats) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
        """As `at`, but points with the same cells of the stores in the same parcel once; see `Covariates.distinct`."""
        parcel = self._parcel(x, y)
        which = np.zeros(len(x), np.int64)
        stores = [self._base] if self._other is None else [self._base, self._other]
        own = np.isin(parcel, [number for number, each in enumerate(self._parcels) if each.donors is not None])
        each_alone = np.where(own, np.arange(len(x)) + 1, 0)  # every cell has a donor of its own
        for key in (parcel + 1, each_alone, *(_cell(store, x, y) for store in stores)):
            _, number = np.unique(key, return_inverse=True)
            _, which = np.unique(which * (number.max(initial=0) + 1) + number, return_inverse=True)
        _, first = np.unique(which, return_index=True)
        return *self._changed(x[first], y[first], parcel[first]), which

    def means(self, file: str, names: list[str]) -> dict[str, float]:
        """Means of covariates over the store's cells whose centre lies in the polygons of a file.

        Raises:
            InputError: there is no such cell, or a covariate is known in none of them.
        """
        shape = outline(file)
        x, y = centres(self._base, tuple(shapely.bounds(shape).tolist()))
        chosen = shapely.contains_xy(shape, x, y)
        values, known = self.at(x[chosen], y[chosen])
        found = {}
        for name in names:
            column = self.names.index(name)
            here = known[:, column]
            if not here.any():
                raise InputError(f"{file}: no cell of {self._base.path} with a known {name} has its centre in there")
            found[name] = float(values[here, column].mean(dtype=np.float64))
        return found

    def _parcel(self, x: Floats, y: Floats) -> NDArray[np.int64]:
        """Number of the last parcels that each point lies in, -1 for none."""
        found = np.full(len(x), -1)
        for number, each in enumerate(self._parcels):
            found[shapely.contains_xy(each.shape, x, y)] = number
        return found

    def _changed(self, x: Floats, y: Floats, parcel: NDArray[np.int64]) -> Values:
        values, known = self._stored(x, y)
        for number, each in enumerate(self._parcels):
            here = parcel == number
            if each.donors is not None and here.any():
                taken, there = self._stored(*each.donors.drawn(x[here], y[here]))
                columns = [self.names.index(name) for name in each.donors.covariates]
                values[np.ix_(here, columns)], known[np.ix_(here, columns)] = taken[:, columns], there[:, columns]
            for name, value in each.values.items():
                column = self.names.index(name)
                values[here, column], known[here, column] = value, True
        return values, known

    def _stored(self, x: Floats, y: Floats) -> Values:
        """Values of the stores, before parcels change."""
        values, known = self._base.at(x, y)
        if self._other is not None:
            values[:, self._columns], known[:, self._columns] = self._other.at(x, y)
        return values, known


def _cell(store: Covariates, x: Floats, y: Floats) -> NDArray[Any]:
    row, col = store.grid.cell(x, y)
    return (row << 31) + col

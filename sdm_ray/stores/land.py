"""The land store: land mask and countries on a map's grid."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from upath import UPath

from sdm_ray.geo.grid import Floats, Grid
from sdm_ray.geo.windows import Window
from sdm_ray.stores import raster
from sdm_ray.stores.raster import ArraySpec

_CHUNK = 512


def write_land(path: UPath, grid: Grid, land: NDArray[np.bool_], country: NDArray[np.int16], names: list[str]) -> None:
    """Write a land store.

    Args:
        path: folder or URL.
        grid: its cells.
        land: (height, width).
        country: number of the country of each cell, (height, width); 0 is none.
        names: names of the countries 1, 2, ...
    """
    attrs = {"title": "Land and countries", "Conventions": "CF-1.11", "countries": names}
    land_spec = ArraySpec("uint8", (_CHUNK, _CHUNK), attrs={"flag_values": [0, 1], "flag_meanings": "sea land"})
    country_spec = ArraySpec("int16", (_CHUNK, _CHUNK), attrs={"long_name": "number of the country, 0 is none"})
    arrays: dict[str, tuple[ArraySpec, NDArray[Any]]] = {
        "land": (land_spec, land.astype(np.uint8)),
        "country": (country_spec, country),
    }
    raster.write(path, grid, arrays, {}, attrs)


class Land:
    """A land store.

    Attributes:
        grid: its cells.
        countries: name of each country by its number; number 0 is "".
    """

    @raster.reports_damage("land store")
    def __init__(self, path: UPath) -> None:
        group: Any = raster.open_group(path)
        self.path = path
        self.grid: Grid = raster.read_grid(group)
        self.countries = ["", *group.attrs["countries"]]
        self._group = group

    @raster.reports_damage("land store")
    def land(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Whether cells are land, (height, width)."""
        return np.asarray(self._group["land"][window.slices if window else ...], bool)

    @raster.reports_damage("land store")
    def country(self, window: Window | None = None) -> NDArray[np.int16]:
        """Number of the country of cells, (height, width); 0 is none."""
        return np.asarray(self._group["country"][window.slices if window else ...], np.int16)

    def countries_of(self, x: Floats, y: Floats, names: NDArray[np.str_] | None = None) -> NDArray[np.int64]:
        """Number of the country that each place belongs to, (N,); places at sea belong to the nearest one.

        A place that names its country belongs to that one, even where an outline says otherwise: outlines are coarse.
        A name that the store spells otherwise stands for the country in which most places of that name lie.

        Args:
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).
            names: country that each place names, "" for none, (N,); None where places name no country.
        """
        numbers = self._nearest(np.asarray(x), np.asarray(y))
        if names is None:
            return numbers
        numbered = {_letters(name): number for number, name in enumerate(self.countries) if number}
        labels, label = np.unique(names, return_inverse=True)
        counts = np.zeros((len(labels), len(self.countries)), np.int64)
        np.add.at(counts, (label, numbers), 1)
        most = counts.argmax(axis=1)
        meant = np.array([numbered.get(_letters(str(name)), most[i]) for i, name in enumerate(labels)], np.int64)
        return np.where(names == "", numbers, meant[label])

    def near(self, countries: NDArray[np.int64], x: Floats, y: Floats, distance_m: float) -> NDArray[np.bool_]:
        """Whether places belong to some countries or lie nearer than a distance to their land, (N,)."""
        inside = np.isin(self._nearest(np.asarray(x), np.asarray(y)), countries)
        if distance_m <= 0 or inside.all():
            return inside
        edge = self._tree(tuple(int(each) for each in countries))
        if edge is not None:
            reach = distance_m + self.grid.resolution / 2  # a cell's land begins half a cell before its centre
            outside = np.flatnonzero(~inside)
            found, _ = edge.query(np.column_stack([x, y])[outside], distance_upper_bound=reach)
            inside[outside] = np.isfinite(found)
        return inside

    def _nearest(self, x: Floats, y: Floats) -> NDArray[np.int64]:
        """Number of the country of each place's cell, or else of the nearest cell that has one, (N,)."""
        index = self.grid.index(x, y)
        numbers = np.where(index >= 0, self._countries.ravel()[np.maximum(index, 0)], 0).astype(np.int64)
        lacking = np.flatnonzero(numbers == 0)
        coast = self._tree(None) if len(lacking) else None
        if coast is not None:
            _, nearest = coast.query(np.column_stack([x, y])[lacking])
            numbers[lacking] = self._countries[self.grid.cell(*coast.data[nearest].T)]
        return numbers

    @cached_property
    def _countries(self) -> NDArray[np.int16]:
        return self.country()

    @cached_property
    def _trees(self) -> dict[tuple[int, ...] | None, cKDTree | None]:
        return {}

    def _tree(self, countries: tuple[int, ...] | None) -> cKDTree | None:
        """Centres of the outermost cells of some countries, or of all, to find the nearest of; None without any."""
        if countries not in self._trees:
            mask = np.isin(self._countries, countries) if countries is not None else self._countries > 0
            wide = np.pad(mask, 1)
            inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
            places = np.column_stack(self.grid.centre(*np.nonzero(mask & ~inner)))
            self._trees[countries] = cKDTree(places) if len(places) else None
        return self._trees[countries]


def _letters(name: str) -> str:
    """A name without what differs between spellings: capitals, blanks and signs."""
    return "".join(filter(str.isalnum, name)).casefold()

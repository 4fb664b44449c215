"""The land store: which cells of a map's grid are land, and of which country."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.grid import Grid
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

    def __init__(self, path: UPath) -> None:
        group: Any = raster.open_group(path)
        self.path = path
        self.grid: Grid = raster.read_grid(group)
        self.countries = ["", *group.attrs["countries"]]
        self._group = group

    def land(self, window: Window | None = None) -> NDArray[np.bool_]:
        """Whether cells are land, (height, width)."""
        return self._group["land"][window.slices if window else ...].astype(bool)

    def country(self, window: Window | None = None) -> NDArray[np.int16]:
        """Number of the country of cells, (height, width); 0 is none."""
        return self._group["country"][window.slices if window else ...]

    def country_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
        """Number of the country of points, (N,); 0 is none or outside the store."""
        index = self.grid.index(x, y)
        return np.where(index >= 0, self.country().ravel()[np.maximum(index, 0)], 0).astype(np.int64)

"""Windows of the tile cube around places."""

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.batch import Ints
from sdm_ray.geo.windows import centred
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.patch_reader import Wanted
from sdm_ray.streams.places import Places
from sdm_ray.streams.places_in_chunks import PlacesInChunks, in_chunks


@dataclass(frozen=True)
class Windows:
    """Square windows centred on places.

    Attributes:
        cube: the tile cube.
        bands: names of the bands, in the order of the images' channels.
        places: the centres.
        size: side of a window, pixels.
        season: name of the composite; None for the first.
    """

    cube: str
    bands: tuple[str, ...]
    places: Places = field(repr=False)
    size: int
    season: str | None = None

    def subset(self, ids: Ints) -> "Windows":
        """Windows of some of the places."""
        return replace(self, places=self.places.subset(ids))

    def at(self, ids: Ints) -> Wanted:
        """Windows of some of the places, in pixels of the cube.

        Raises:
            InputError: the cube lacks a band or the season.
        """
        cube = open_cube(self.cube)
        rows, cols = centred(cube.grid, *self.places.xy(ids), self.size)
        return Wanted(rows, cols, self.size, cube.time(self.season), cube.numbers(self.bands))

    def in_chunks(self) -> PlacesInChunks:
        """The places by the chunks of the cube that hold their windows' upper left pixels."""
        cube = open_cube(self.cube)
        return in_chunks(self.places, cube.grid, self.size, cube.chunk)

    @property
    def reach_m(self) -> float:
        """How far a window reaches from its centre, metres."""
        return self.size * open_cube(self.cube).grid.resolution / 2

    @property
    def row_bytes(self) -> int:
        """Bytes of one window."""
        return math.prod(self.shape) * 2

    def read(self, ids: Ints) -> NDArray[np.uint16]:
        """Reflectance x 10,000, 0 = nodata and outside the cube, uint16 (N, B, size, size)."""
        return open_cube(self.cube).patches(self.at(ids))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one window: bands, rows, columns."""
        return len(self.bands), self.size, self.size


@lru_cache(maxsize=4)
def open_cube(path: str) -> Cube:
    """A cube, opened once per process."""
    return Cube(UPath(path))

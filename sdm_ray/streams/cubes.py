"""Windows of the tile cube around places, by id: the dense way into the satellite scale."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat, to_xy
from sdm_ray.geo.windows import centred
from sdm_ray.stores.cube import Cube
from sdm_ray.streams import draws
from sdm_ray.streams.augment import dihedral
from sdm_ray.streams.pipeline import Batch


@dataclass(frozen=True)
class WindowFetch:
    """Square windows centred on places.

    Attributes:
        cube: the tile cube.
        bands: names of the bands, in the order of the images' channels.
        lonlat: WGS84 degrees, float64 (n, 2).
        place: place id, int64 (n,).
        size: side of a window, pixels.
        augment: whether to turn and flip, by a key per (seed, pass, id).
        seed: of the augmentation.
    """

    cube: str
    bands: tuple[str, ...]
    lonlat: np.ndarray = field(repr=False)
    place: np.ndarray = field(repr=False)
    size: int
    augment: bool = False
    seed: int = 0

    def only(self, rows: np.ndarray, *, plain: bool = False) -> "WindowFetch":
        """Windows of some of these places; `plain` draws nothing."""
        part = replace(self, lonlat=self.lonlat[rows], place=self.place[rows])
        return replace(part, augment=False) if plain else part

    def __call__(self, ids: np.ndarray, passes: np.ndarray) -> Batch:
        """`image` float32 reflectance x 10,000, 0 = nodata, (N, B, size, size); `lonlat`; `place`."""
        images = windows(self.cube, self.bands, self.lonlat[ids], self.size)
        if self.augment:
            images = dihedral(images, draws.keys(self.seed, passes, ids))
        return {"lonlat": self.lonlat[ids], "image": images, "place": self.place[ids]}


def windows(cube: str, bands: tuple[str, ...], lonlat: np.ndarray, size: int) -> np.ndarray:
    """Windows around places, float32 (N, B, size, size); 0 outside the cube."""
    source = open_cube(cube)
    x, y = to_xy(lonlat[:, 0], lonlat[:, 1])
    rows, cols = centred(source.grid, x, y, size)
    images = source.patches(rows, cols, size)
    return images[:, band_numbers(cube, bands)].astype(np.float32)


def band_numbers(cube: str, bands: tuple[str, ...]) -> list[int]:
    """Where the wanted bands stand in a cube.

    Raises:
        InputError: the cube lacks one.
    """
    have = open_cube(cube).bands
    missing = [band for band in bands if band not in have]
    if missing:
        raise InputError(f"{cube}: has no band {missing[0]}; found {', '.join(have)}")
    return [have.index(band) for band in bands]


def places(grid: Grid, stride_m: float) -> np.ndarray:
    """Places of a regular grid over a cube, WGS84 degrees (n, 2); anchored to multiples of the stride."""
    west, south, east, north = grid.bounds
    x = np.arange(np.ceil(west / stride_m), np.floor(east / stride_m) + 1) * stride_m
    y = np.arange(np.ceil(south / stride_m), np.floor(north / stride_m) + 1) * stride_m
    xx, yy = np.meshgrid(x, y[::-1])
    return np.stack(to_lonlat(xx.ravel(), yy.ravel()), axis=1)


@lru_cache(maxsize=4)
def open_cube(path: str) -> Cube:
    """A cube, opened once per process."""
    return Cube(UPath(path))

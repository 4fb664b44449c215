"""Windows of the tile cube around places, by id: the dense way into the satellite scale."""

from dataclasses import dataclass, field, replace

import numpy as np

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.streams import keyed_random
from sdm_ray.streams.loader import Batch
from sdm_ray.streams.windows import Windows


@dataclass(frozen=True)
class WindowDataset:
    """Square windows centred on places.

    Attributes:
        windows: of the places.
        place: place id, int64 (n,).
        augment: whether draws for the augmentation of the images come along, by a key per (seed, pass, id).
        seed: of the augmentation.
    """

    windows: Windows
    place: np.ndarray = field(repr=False)
    augment: bool = False
    seed: int = 0

    @property
    def lonlat(self) -> np.ndarray:
        """WGS84 degrees, float64 (n, 2)."""
        return self.windows.lonlat

    def only(self, rows: np.ndarray, *, plain: bool = False) -> "WindowDataset":
        """Windows of some of these places; `plain` draws nothing."""
        part = replace(self, windows=self.windows.only(rows), place=self.place[rows])
        return replace(part, augment=False) if plain else part

    def __call__(self, ids: np.ndarray, epochs: np.ndarray) -> Batch:
        """`image` uint16 reflectance x 10,000, 0 = nodata, (N, B, size, size); `lonlat`; `place`."""
        return self.with_images(ids, epochs, self.windows.read(ids))

    def with_images(self, ids: np.ndarray, epochs: np.ndarray, images: np.ndarray) -> Batch:
        """The same with windows that have been read."""
        batch = {"lonlat": self.lonlat[ids], "image": images, "place": self.place[ids]}
        if self.augment:
            batch["draws"] = keyed_random.table(keyed_random.keys(self.seed, epochs, ids))
        return batch


def places(grid: Grid, stride_m: float) -> np.ndarray:
    """Places of a regular grid over a cube, WGS84 degrees (n, 2); anchored to multiples of the stride."""
    west, south, east, north = grid.bounds
    x = np.arange(np.ceil(west / stride_m), np.floor(east / stride_m) + 1) * stride_m
    y = np.arange(np.ceil(south / stride_m), np.floor(north / stride_m) + 1) * stride_m
    xx, yy = np.meshgrid(x, y[::-1])
    return np.stack(to_lonlat(xx.ravel(), yy.ravel()), axis=1)

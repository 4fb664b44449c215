"""Windows of the tile cube around places, by id: satellite images for any place of the cube."""

from dataclasses import dataclass, field, replace

import numpy as np

from sdm_ray.batch import Array, Batch, Floats, Ints
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.streams import keyed_random
from sdm_ray.streams.dataset import Part, read_parts
from sdm_ray.streams.parts import FromCube, InMemory
from sdm_ray.streams.windows import Windows


@dataclass(frozen=True)
class WindowDataset:
    """Square windows centred on places.

    Attributes:
        windows: of the places.
        place: place id, int64 (n,).
        augment: whether batches have random numbers for the augmentation, by a key per (seed, epoch, id).
        seed: of the augmentation.
    """

    windows: Windows
    place: Ints = field(repr=False)
    augment: bool = False
    seed: int = 0

    @property
    def lonlat(self) -> Floats:
        """WGS84 degrees, float64 (n, 2)."""
        return self.windows.lonlat

    def subset(self, rows: Ints, *, plain: bool = False) -> "WindowDataset":
        """Windows of some of these places; `plain` without augmentation."""
        part = replace(self, windows=self.windows.subset(rows), place=self.place[rows])
        return replace(part, augment=False) if plain else part

    def parts(self) -> list[Part]:
        """Places, and windows of the cube."""
        return [InMemory(self._places), FromCube(self.windows, self._with_images)]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """`image_satellite` uint16 reflectance x 10,000, 0 = nodata, (N, B, size, size); `lonlat`; `place`."""
        return read_parts(self.parts(), ids, epochs)

    def _places(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        return Batch({"lonlat": self.lonlat[ids], "place": self.place[ids]})

    def _with_images(self, ids: Ints, epochs: Ints, images: Array) -> Batch[Array]:
        batch = Batch({"image_satellite": images})
        if self.augment:
            batch["draws_satellite"] = keyed_random.table(keyed_random.keys(self.seed, epochs, ids))
        return batch


def places(grid: Grid, stride_m: float) -> Floats:
    """Places of a regular grid over a cube, WGS84 degrees (n, 2); anchored to multiples of the stride."""
    west, south, east, north = grid.bounds
    x = np.arange(np.ceil(west / stride_m), np.floor(east / stride_m) + 1) * stride_m
    y = np.arange(np.ceil(south / stride_m), np.floor(north / stride_m) + 1) * stride_m
    xx, yy = np.meshgrid(x, y[::-1])
    return np.stack(to_lonlat(xx.ravel(), yy.ravel()), axis=1)

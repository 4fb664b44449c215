"""Image patches of many places out of a tile cube: each pixel read about once, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from upath import UPath

from sdm_ray.geo.windows import Window, centred
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.patch_reader import Wanted


@dataclass(frozen=True)
class Images:
    """Which patches of a cube a model looks at.

    Attributes:
        cube: that they are cut from.
        bands: numbers of the bands.
        size: pixels along the side of a patch.
        time: number of the composite.
    """

    cube: Cube
    bands: tuple[int, ...]
    size: int
    time: int = 0


@dataclass(frozen=True)
class Pixels:
    """What patches are cut out of: a region that was read, or the cube itself, patch by patch.

    Attributes:
        images: which patches.
        region: that was read; None for the cube itself.
        values: of the region, uint16 (band, height, width).
    """

    images: Images
    region: Window | None = None
    values: np.ndarray | None = None

    def patches(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The patches centred on places.

        Args:
            x: metres east, (N,).
            y: metres north, (N,).

        Returns:
            uint16 (N, band, size, size); 0 outside the cube and where it has no data.
        """
        size = self.images.size
        rows, cols = centred(self.images.cube.grid, x, y, size)
        if self.region is None or self.values is None:
            return self.images.cube.patches(Wanted(rows, cols, size, self.images.time, self.images.bands))
        views = sliding_window_view(self.values, (size, size), axis=(1, 2))
        return views[:, rows - self.region.row, cols - self.region.col].swapaxes(0, 1)


class Imagery:
    """Reads regions of a cube that many patches share.

    Args:
        path: the cube.
        bands: their names.
        size: pixels along the side of a patch.
        budget: bytes that a region may take.
        season: name of the composite.
    """

    def __init__(self, path: UPath, bands: Sequence[str], size: int, budget: int, season: str | None = None) -> None:
        cube = Cube(path)
        self._images = Images(cube, cube.numbers(bands), size, cube.time(season))
        self._budget = budget

    def fits(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Whether the common region of patches is within the budget."""
        region = self._region(x, y)
        return len(self._images.cube.bands) * region.height * region.width * 2 <= self._budget

    def read(self, x: np.ndarray, y: np.ndarray) -> Pixels:
        """Read the common region of patches, unless it is too large or reading them one by one is less."""
        region = self._region(x, y)
        if not self.fits(x, y) or region.height * region.width > len(x) * self._images.size**2:
            return Pixels(self._images)
        values = self._images.cube.read(region, self._images.time)[list(self._images.bands)]
        return Pixels(self._images, region, values)

    def scenes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Number of valid scenes behind the pixel in the middle of each cell, uint8 (N,); 0 outside the cube."""
        cube = self._images.cube
        return cube.valid_at(*cube.grid.cell(x, y), self._images.time)

    def _region(self, x: np.ndarray, y: np.ndarray) -> Window:
        size = self._images.size
        rows, cols = centred(self._images.cube.grid, x, y, size)
        row, col = int(rows.min()), int(cols.min())
        return Window(row, col, int(rows.max()) - row + size, int(cols.max()) - col + size)

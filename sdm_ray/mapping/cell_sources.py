"""What cells are predicted from: covariates of a scenario, and pixels of their own or of donors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdm_ray.mapping.feature_grid import Blending
from sdm_ray.mapping.patch_batches import Pixels
from sdm_ray.mapping.scenario import ChangedCovariates
from sdm_ray.stores.covariates import Covariates

Points = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sources:
    """Sources of some cells.

    Attributes:
        covariates: of the scenario; None without covariates.
        pixels: of the region around the cells; None without imagery. Donors may lie anywhere: their patches are read
            from the cube.
    """

    covariates: Covariates | ChangedCovariates | None
    pixels: Pixels | None

    def image_places(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centres of the patches that cells are shown, metres, and which of them are those of donors, (N,) each."""
        if isinstance(self.covariates, ChangedCovariates):
            return self.covariates.image_places(x, y)
        return x, y, np.zeros(len(x), bool)

    def patches(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The patches of cells, uint16 (N, band, size, size)."""
        assert self.pixels is not None
        found = self.pixels.patches(x, y)
        at_x, at_y, moved = self.image_places(x, y)
        if moved.any():
            found = found.copy()
            found[moved] = Pixels(self.pixels.images).patches(at_x[moved], at_y[moved])
        return found

    def features(self, blending: Blending, tower: int, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Blended features of cells by one of the towers, and whether there are any; see `Blending.of`."""
        assert self.pixels is not None
        found, seen = blending.of(tower, self.pixels, x, y)
        at_x, at_y, moved = self.image_places(x, y)
        if moved.any():
            others, there = blending.of(tower, Pixels(self.pixels.images), at_x[moved], at_y[moved])
            found[torch.from_numpy(moved).to(found.device)] = others
            seen[moved] = there
        return found, seen

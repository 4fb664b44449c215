"""Satellite features of cells, blended from those of patches at the nodes of a lattice."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sdm_ray.mapping.feature_grid import Lattice, in_squares
from sdm_ray.mapping.patch_batches import Pixels

Tower = Callable[[Tensor], Tensor]
_Square = tuple[int, int, int]  # number of the tower, column and row of the square


class Blending:
    """Features of nodes, computed once a tile however many cells they serve.

    All nodes of a square that have imagery are one batch, whichever of them are needed: the answer does not depend on
    how the map was cut into tiles.

    Args:
        lattice: of the nodes.
        towers: image towers, by the number of their model.
        device: that they compute on.
    """

    def __init__(self, lattice: Lattice, towers: Sequence[Tower], device: torch.device) -> None:
        self._lattice = lattice
        self._towers = towers
        self._device = device
        self._known: dict[_Square, tuple[Tensor, np.ndarray]] = {}

    def forget(self) -> None:
        """Let go of the features of all nodes: the next tile has others."""
        self._known.clear()

    def looked_at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the patches that cells at x, y need, metres, (M,) each."""
        nodes, _ = self._lattice.around(x, y)
        return self._lattice.places(in_squares(nodes)[0])

    def of(self, number: int, pixels: Pixels, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Features of cells by one of the towers.

        Args:
            number: of the tower.
            pixels: of the region that holds the patches.
            x: metres east, (N,).
            y: metres north, (N,).

        Returns:
            Weighted means of the nodes with imagery, (N, dim), and whether there is any with a weight, (N,).
        """
        nodes, weights = self._lattice.around(x, y)
        squares, at = in_squares(nodes)
        found = [self._square(number, pixels, square) for square in squares]
        features, seen = torch.cat([each for each, _ in found]), np.concatenate([each for _, each in found])
        weights = weights * seen[at]
        total = weights.sum(1)
        shares = torch.from_numpy(weights / np.maximum(total, 1e-6)[:, None]).to(self._device)
        blended = torch.stack([features[at[:, k]] * shares[:, k, None] for k in range(4)]).sum(0)
        return blended, total > 0

    def _square(self, number: int, pixels: Pixels, square: np.ndarray) -> tuple[Tensor, np.ndarray]:
        key = (number, int(square[0]), int(square[1]))
        if key not in self._known:
            images = pixels.patches(*self._lattice.places(square[None]))
            seen = np.asarray(images.any(axis=(1, 2, 3)))
            shown = images if seen.all() else images[seen]
            with torch.inference_mode():
                part = self._towers[number](torch.from_numpy(shown.astype(np.float32)).to(self._device)).float()
            features = torch.zeros(len(seen), part.shape[1], device=self._device)
            features[torch.from_numpy(seen).to(self._device)] = part
            self._known[key] = features, seen
        return self._known[key]

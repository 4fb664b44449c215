"""Satellite features of cells: computed at the nodes of a grid, and blended from the four nodes around a cell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdm_ray.mapping.patch_batches import Pixels

Tower = Callable[[Tensor], Tensor]
_Square = tuple[int, int, int]  # number of the tower, column and row of the square
SIDE = 8
"""Nodes along the side of a square of them, which is one forward pass of the tower."""


@dataclass(frozen=True)
class Lattice:
    """Nodes in equal steps over the EU grid, each in the middle of a square with corners on multiples of the stride.

    They are the same for every map, tile and extent. The cells of a map whose resolution is the stride are nodes.

    Attributes:
        stride: metres from a node to the next.
    """

    stride: float

    def around(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The four nodes around points, and their bilinear weights.

        A node counts less the farther it is, and not at all from the next one on: features have no seams, and what
        changes evenly over space is met exactly.

        Args:
            x: metres east, (N,).
            y: metres north, (N,).

        Returns:
            Columns and rows of nodes, counted from the origin of the projection, int64 (N, 4, 2), and weights,
            float32 (N, 4). In place of a node of no weight stands the heaviest one.
        """
        place = np.stack([x, y], -1) / self.stride - 0.5
        nearest = np.rint(place)
        place = np.where(np.abs(place - nearest) < 1e-6, nearest, place)  # a cell that is a node needs no other
        first = np.floor(place)
        share = (place - first)[:, None]
        steps = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
        weights = np.where(steps == 1, share, 1 - share).prod(-1)
        nodes = first.astype(np.int64)[:, None] + steps
        heaviest = np.take_along_axis(nodes, weights.argmax(1)[:, None, None], 1)
        return np.where(weights[..., None] > 0, nodes, heaviest), weights.astype(np.float32)

    def places(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres east and north of all nodes of squares (K, 2): (K * SIDE * SIDE,) each, row by row of a square."""
        rows, cols = np.mgrid[:SIDE, :SIDE]
        nodes = squares[:, None] * SIDE + np.stack([cols.ravel(), rows.ravel()], -1)
        x, y = (nodes.reshape(-1, 2).T + 0.5) * self.stride
        return x, y


def in_squares(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The squares of nodes (N, 4, 2), each once, (K, 2), and where the nodes stand in `Lattice.places` of these."""
    squares, number = np.unique(nodes.reshape(-1, 2) // SIDE, axis=0, return_inverse=True)
    col, row = np.moveaxis(nodes % SIDE, -1, 0)
    return squares, number.reshape(nodes.shape[:-1]) * SIDE**2 + row * SIDE + col


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

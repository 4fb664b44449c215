"""The points that satellite features are computed at, and how a cell's follow from those around it."""

from dataclasses import dataclass

import numpy as np

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

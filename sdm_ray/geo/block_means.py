"""Statistics of square blocks of cells, for coarser views of a layer.

A block at the lower or right edge may be cut off there; it counts the cells that it has.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def block_sums(values: Array, side: int) -> NDArray[np.float64]:
    """Sums over blocks of `side` x `side` cells, float64.

    Args:
        values: (height, width).
        side: cells along the side of a block.

    Returns:
        (ceil(height / side), ceil(width / side)).
    """
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], side), axis=0, dtype=np.float64)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], side), axis=1)


def block_means(values: Array, side: int, weights: Array | None = None) -> NDArray[np.float32]:
    """Means over blocks; cells of NaN are left out.

    Args:
        values: (height, width), NaN where there is none.
        side: cells along the side of a block.
        weights: of the cells, (height, width); by default all the same.

    Returns:
        Means, NaN where a block has no value.
    """
    known = ~np.isnan(values)
    counted = known if weights is None else known * weights
    total = block_sums(counted, side)
    weighted = block_sums(np.where(known, values, 0) * counted.astype(np.float64), side)
    return np.where(total > 0, weighted / np.where(total > 0, total, 1), np.nan).astype(np.float32)


def block_modes(values: Array, side: int, fill: float) -> Array:
    """The commonest value of each block, for categories and flags, which have no mean; of equals the lowest.

    Args:
        values: (height, width).
        side: cells along the side of a block.
        fill: value of a cell without any, which counts only where a block has nothing else.
    """
    found = np.unique(values[values != fill])
    if not len(found):
        return np.full(block_sums(values == fill, side).shape, fill, values.dtype)
    counts = np.stack([block_sums(values == each, side) for each in found])
    return np.where(counts.any(axis=0), found[counts.argmax(axis=0)], np.asarray(fill, values.dtype))

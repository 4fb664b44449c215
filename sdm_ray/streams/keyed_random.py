"""Random numbers by key: what a row draws depends on (seed, epoch, id) alone, whoever computes it and when."""

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Array, Floats, Ints
from sdm_ray.geo import splitmix

_TABLE, _COUNT = 1000, 8  # the draws before number 1000 have uses of their own

Keys = NDArray[np.uint64]


def keys(seed: int, epochs: Ints, ids: Ints) -> Keys:
    """One uint64 key for each row (N,)."""
    with np.errstate(over="ignore"):
        key = _mix(np.full(len(ids), seed, np.uint64))
        key = _mix(key ^ np.asarray(epochs).astype(np.uint64))
        return _mix(key ^ np.asarray(ids).astype(np.uint64))


def uniform(key: Keys, number: int) -> Floats:
    """The `number`-th draw of each row, float64 in [0, 1)."""
    with np.errstate(over="ignore"):
        mixed = _mix(key + np.uint64(number + 1) * splitmix.GOLDEN)
    return splitmix.unit(mixed)


def table(key: Keys) -> Array:
    """Draws of each row for use on the device, float32 (N, 8) in [0, 1)."""
    below_one = np.float32(1 - 2**-24)
    drawn = [np.minimum(uniform(key, _TABLE + number), below_one) for number in range(_COUNT)]
    return np.stack(drawn, axis=1).astype(np.float32)


def _mix(x: Keys) -> Keys:
    """One step of the generator."""
    return splitmix.mix(x + splitmix.GOLDEN)

"""Random numbers by key: what a row draws depends on (seed, pass, id) alone, whoever computes it and when."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TABLE, _COUNT = 1000, 8  # the draws before them have their uses


def keys(seed: int, epochs: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """One uint64 key for each row (N,)."""
    with np.errstate(over="ignore"):
        key = _mix(np.full(len(ids), seed, np.uint64))
        key = _mix(key ^ np.asarray(epochs).astype(np.uint64))
        return _mix(key ^ np.asarray(ids).astype(np.uint64))


def uniform(key: np.ndarray, number: int) -> np.ndarray:
    """The `number`-th draw of each row, float64 in [0, 1)."""
    with np.errstate(over="ignore"):
        mixed = _mix(key + np.uint64(number + 1) * _GOLDEN)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def table(key: np.ndarray) -> np.ndarray:
    """Draws of each row for use on the device, float32 (N, 8) in [0, 1)."""
    below_one = np.float32(1 - 2**-24)
    drawn = [np.minimum(uniform(key, _TABLE + number), below_one) for number in range(_COUNT)]
    return np.stack(drawn, axis=1).astype(np.float32)


def _mix(x: np.ndarray) -> np.ndarray:
    """One step of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

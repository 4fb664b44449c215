"""Permutations that are computed and not stored: the place of each number follows from a key alone.

A Feistel network (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002) permutes the numbers below the next
power of two; a number that lands beyond the end is sent through again until it lies within.
"""

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Ints
from sdm_ray.geo import splitmix

_ROUNDS = 6  # even, so that both halves have their own width again
_PART = 1 << 16  # numbers at a time, whose halves stay in a core's cache


def permuted(positions: Ints, n: int, key: tuple[int, int]) -> Ints:
    """What stands at some positions of a permutation of 0 to n - 1.

    Args:
        positions: any, each 0 to n - 1.
        n: length of the permutation.
        key: two numbers, such as seed and epoch, on which the permutation depends.
    """
    flat = np.ascontiguousarray(positions, np.int64).ravel()
    keys = _round_keys(key)
    parts = [_walked(flat[start : start + _PART], n, keys) for start in range(0, len(flat), _PART)]
    return (np.concatenate(parts) if parts else flat).reshape(np.shape(positions))


def _walked(positions: Ints, n: int, keys: NDArray[np.uint64]) -> Ints:
    bits = max(2, (n - 1).bit_length())
    found = _sent(positions.astype(np.uint64), bits, keys)
    beyond = np.flatnonzero(found >= n)
    while len(beyond):
        again = _sent(found[beyond], bits, keys)
        found[beyond] = again
        beyond = beyond[again >= n]
    return found.astype(np.int64)


def _sent(x: NDArray[np.uint64], bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers of so many bits through all rounds."""
    widths = bits // 2, bits - bits // 2
    left, right = x >> np.uint64(widths[1]), x & _mask(widths[1])
    for number, key in enumerate(keys):
        changed = left ^ (splitmix.mix(right ^ key) & _mask(widths[number % 2]))
        left, right = right, changed
    return left << np.uint64(widths[1]) | right


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _round_keys(key: tuple[int, int]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        state = splitmix.mix(np.uint64(key[0]) + splitmix.GOLDEN)
        state = splitmix.mix(state ^ np.uint64(key[1]))
        return splitmix.mix(state + np.arange(1, _ROUNDS + 1, dtype=np.uint64) * splitmix.GOLDEN)

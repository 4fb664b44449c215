"""The arithmetic of SplitMix64 (Steele, Lea and Flood 2014), by which numbers are drawn by key, in any order."""

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: the step between the states of the generator."""


def mix(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """The mixing function: every bit of the result depends on every bit of z."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def unit(z: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [0, 1) from the upper 53 bits."""
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53

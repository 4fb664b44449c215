"""Probabilities as integers: steps of 1/254 in 8 bits, or of 1/65534 in 16, and one integer for no data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def nodata(bits: int) -> int:
    """The integer that stands where there is no probability."""
    return (1 << bits) - 1


def encode(probability: NDArray[np.float32], bits: int = 8) -> NDArray[Any]:
    """Probabilities as integers, the largest integer for NaN.

    Raises:
        ValueError: a value lies outside 0 to 1.
    """
    top = nodata(bits) - 1
    if probability.size and (np.fmin.reduce(probability, None) < 0 or np.fmax.reduce(probability, None) > 1):
        raise ValueError("probabilities must lie between 0 and 1")
    scaled = probability * np.float32(top)
    np.rint(scaled, out=scaled)
    np.copyto(scaled, np.float32(top + 1), where=np.isnan(scaled))
    return scaled.astype(f"uint{bits}")


def decode(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Integers as probabilities, NaN where there is no data."""
    top = np.iinfo(stored.dtype).max - 1
    return np.where(stored > top, np.float32(np.nan), stored.astype(np.float32) / np.float32(top))

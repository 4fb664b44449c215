"""Values that mark missing data in rasters that do not declare them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_COMMON = (-9999.0, -99999.0, -32768.0, -2147483648.0, 32767.0, 65535.0, 2147483647.0)
_HUGE = 1e19  # such as -3.4e38, the least float32, and 1e20 and 9.97e36 of NetCDF


class Mark(NamedTuple):
    """A value that often marks missing data.

    Attributes:
        value: the value.
        pixels: how many pixels hold it.
        alone: whether no other value comes near it, so that it can only be a mark.
    """

    value: float
    pixels: int
    alone: bool


def marks(values: NDArray[np.float32]) -> list[Mark]:
    """Common marks of missing data among the lowest and highest values of a band, the most extreme first.

    A mark stands alone where no other value lies beyond half of it: elevations of -200 to 4,800 with -9999.
    """
    known = values[np.isfinite(values)]
    found = []
    while known.size:
        ends = [each for each in (known.min(), known.max()) if _common(float(each))]
        if not ends:
            break
        value = float(max(ends, key=abs))
        rest = known[known != np.float32(value)]
        beyond = rest < value / 2 if value < 0 else rest > value / 2
        alone = abs(value) > _HUGE or not bool(beyond.any())
        found.append(Mark(value, int(known.size - rest.size), alone))
        known = rest
    return found


def _common(value: float) -> bool:
    return abs(value) > _HUGE or any(value == float(np.float32(each)) for each in _COMMON)

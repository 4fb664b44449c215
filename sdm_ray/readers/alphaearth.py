"""Values of AlphaEarth embeddings as they are published: 64 numbers of a byte each, of a vector of length 1."""

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 64
NODATA = -128
_HALF = 127.5


def dequantised(stored: NDArray[np.int8]) -> NDArray[np.float32]:
    """Components of the embeddings, -1 to 1, NaN where there is no data: `(v / 127.5)^2 * sign(v)`.

    The rule is the publisher's (Earth Engine guide, "AlphaEarth Foundations GCS data").

    Args:
        stored: bytes of any shape; -128 is no data.
    """
    values = stored.astype(np.float64)
    found = ((values / _HALF) ** 2 * np.sign(values)).astype(np.float32)
    found[stored == NODATA] = np.nan
    return found

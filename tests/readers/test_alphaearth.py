"""Bytes of AlphaEarth are dequantised by the publisher's rule."""

import numpy as np

from sdm_ray.readers.alphaearth import dequantised


def test_values_to_the_digit():
    stored = np.array([-128, -127, -64, -1, 0, 1, 64, 127], np.int8)
    want = [np.nan, -0.992172241445598, -0.251964628988851, -6.151480199923e-05, 0, 6.151480199923e-05,
            0.251964628988851, 0.992172241445598]  # fmt: skip
    np.testing.assert_allclose(dequantised(stored), np.float32(want), rtol=1e-7)

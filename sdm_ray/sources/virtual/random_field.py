"""Gaussian random fields, of which the virtual landscape is made."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]


def smooth_field(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Floats:
    """A Gaussian random field of mean 0 and standard deviation 1.

    White noise times a Gaussian in the frequency domain, which is a Gaussian kernel in space; made on a larger area,
    so that opposite edges have nothing in common.

    Args:
        shape: rows and columns.
        scale: standard deviation of the kernel, cells.
        rng: where chance comes from.
    """
    margin = int(4 * scale) + 1
    rows, cols = (fft.next_fast_len(size + margin, real=True) for size in shape)
    noise = rng.standard_normal((rows, cols), dtype=np.float32)
    across = fft.rfftfreq(cols).astype(np.float32) ** 2
    down = fft.fftfreq(rows).astype(np.float32)[:, None] ** 2
    kernel = np.exp(np.float32(-2 * (np.pi * scale) ** 2) * (down + across))
    field = fft.irfft2(fft.rfft2(noise, workers=2) * kernel, s=(rows, cols), workers=2)[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / field.std(), np.float32)

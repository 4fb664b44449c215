"""Augmentation of whole batches, drawn by key."""

import numpy as np

from sdm_ray.streams import draws


def dihedral(images: np.ndarray, key: np.ndarray) -> np.ndarray:
    """One of the 8 turns and flips of a square for each image (N, B, S, S)."""
    number = (draws.uniform(key, 5) * 8).astype(np.int64)
    out = np.empty_like(images)
    for each in np.unique(number):
        chosen = number == each
        turned = np.rot90(images[chosen], each % 4, axes=(2, 3))
        out[chosen] = turned[..., ::-1] if each >= 4 else turned
    return out

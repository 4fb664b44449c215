"""Composites: one value for each pixel and season from many scenes."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.sources.sentinel2.scene_reader import Pixels, Target
from sdm_ray.sources.sentinel2.scenes import Scene

_EMPTY = np.iinfo(np.uint16).max  # sorts after every observation
_BUDGET = 128 << 20  # bytes of observations in memory at once
_SMALLEST, _LARGEST = 64, 1024  # side of a part, pixels


def compose(
    grid: Grid,
    window: Window,
    scenes: Sequence[Scene],
    observe: Callable[[Scene, Target], Pixels],
    how: Literal["median", "medoid"],
    bands: int,
) -> tuple[Pixels, NDArray[np.uint8]]:
    """The composite of a window, made part by part so that memory stays bounded.

    Args:
        grid: the cube's pixels.
        window: a part of them.
        scenes: those that touch the window, sorted by observation; there may be none.
        observe: gives the reflectance (band, height, width) of a scene on a target.
        how: `median` or `medoid`.
        bands: number of bands.

    Returns:
        Reflectance (band, height, width), 0 where no observation was clear, and how many were (height, width).
    """
    observations = [list(group) for _, group in groupby(scenes, key=lambda scene: scene.observation)]
    out = np.zeros((bands, window.height, window.width), np.uint16)
    count = np.zeros((window.height, window.width), np.uint8)
    if not observations:
        return out, count
    for part in parts(window, len(observations) * bands * 2):
        target = Target(grid, part)
        stack = np.zeros((len(observations), bands, part.height, part.width), np.uint16)
        for layer, members in zip(stack, observations, strict=True):
            for scene in members:
                np.copyto(layer, observe(scene, target), where=layer == 0)
        place = (
            slice(part.row - window.row, part.row - window.row + part.height),
            slice(part.col - window.col, part.col - window.col + part.width),
        )
        clear = (stack[:, 0] > 0).sum(axis=0)
        count[place] = clear.clip(0, 255)
        out[:, *place] = medoid(stack, clear) if how == "medoid" else median(stack, clear)
    return out, count


def parts(window: Window, bytes_per_pixel: int) -> Iterator[Window]:
    """Cut a window so that the observations of a part fit in memory."""
    side = max(window.height, window.width)
    while side > _SMALLEST and (side > _LARGEST or side * side * bytes_per_pixel > _BUDGET):
        side = -(-side // 2)
    for row in range(0, window.height, side):
        for col in range(0, window.width, side):
            height, width = min(side, window.height - row), min(side, window.width - col)
            yield Window(window.row + row, window.col + col, height, width)


def median(stack: Pixels, clear: NDArray[np.int64]) -> Pixels:
    """Median of each band over the clear observations, halves rounded to even.

    Args:
        stack: (observation, band, height, width), 0 where not clear.
        clear: number of clear observations, (height, width).

    Returns:
        (band, height, width), 0 where there is none.
    """
    ordered = np.where(stack == 0, _EMPTY, stack)
    ordered.sort(axis=0)
    last = np.maximum(clear, 1) - 1
    middle = [
        np.take_along_axis(ordered, np.broadcast_to(at, stack.shape[1:])[None], axis=0)[0].astype(np.float64)
        for at in (last // 2, (last + 1) // 2)
    ]
    return np.where(clear > 0, np.rint((middle[0] + middle[1]) / 2), 0).astype(np.uint16)


def medoid(stack: Pixels, clear: NDArray[np.int64]) -> Pixels:
    """The clear observation nearest to the median over all bands (sum of absolute differences); the first of ties.

    Unlike those of a median, its bands were observed together. Arguments and result are those of `median`.
    """
    middle = median(stack, clear).astype(np.int64)
    nearest = np.full(clear.shape, np.iinfo(np.int64).max)
    out = np.zeros(stack.shape[1:], np.uint16)
    for layer in stack:
        distance = np.abs(layer - middle).sum(axis=0)
        better = (layer[0] > 0) & (distance < nearest)
        nearest[better] = distance[better]
        np.copyto(out, layer, where=better)
    return out

"""Random fields over the EU grid with exponential correlation, drawn by key: the same at a place whoever asks.

A field is a sum of plane waves with Gaussian amplitudes, f(x) = sum of sqrt(w) (a cos(k x) + b sin(k x)): random
Fourier features (Rahimi and Recht 2007) whose wave numbers k are the same for all draws and are not drawn but spread
over the spectrum of exp(-d / range) in two dimensions, each for an equal step of its logarithm. So waves longer than
the range, which sums over a large zone depend on, are there in every draw. The amplitudes follow from (seed, draw,
field, wave) alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sdm_ray.geo import splitmix
from sdm_ray.geo.grid import Floats

WAVES = 128
"""Plane waves of a field: correlations are right to about .02."""
_SHORTEST, _LONGEST = 60.0, 0.01  # wave number times range, between which waves are spread
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_PLACES = 1 << 20  # number of the fields that are of no range
_NODES_IN_RANGE = 4  # a field is constant over squares of this part of its range


@dataclass(frozen=True)
class Waves:
    """The plane waves of a field.

    Attributes:
        east: wave numbers, radians a metre, (M,).
        north: the same northwards, (M,).
        weight: variance that each wave carries, (M,), in sum 1.
    """

    east: Floats
    north: Floats
    weight: Floats

    @classmethod
    def of_range(cls, range_m: float) -> "Waves":
        """Waves of a field whose correlation at distance d is exp(-d / range); of one constant where it is infinite."""
        if np.isinf(range_m):
            return cls(np.zeros(1), np.zeros(1), np.ones(1))
        # In the plane, the share of variance at wave numbers below k is 1 - (1 + (k range)^2)^(-1/2).
        edges = np.geomspace(_LONGEST, _SHORTEST, WAVES - 1)
        below = np.concatenate([[0.0], 1 - 1 / np.hypot(1, edges), [1.0]])
        weight = np.diff(below)
        middle = (below[1:] + below[:-1]) / 2
        k = np.sqrt(1 / (1 - middle) ** 2 - 1) / range_m
        angle = _GOLDEN_ANGLE * np.arange(WAVES)
        return cls(k * np.cos(angle), k * np.sin(angle), weight)

    def at(self, x: Floats, y: Floats) -> NDArray[np.float32]:
        """Cosines and sines of the waves at places, times the root of their weight, (N, 2 M)."""
        phase = np.outer(x, self.east) + np.outer(y, self.north)
        return (np.hstack([np.cos(phase), np.sin(phase)]) * np.tile(np.sqrt(self.weight), 2)).astype(np.float32)


@dataclass(frozen=True)
class Fields:
    """Independent fields of one range.

    Attributes:
        range_m: distance at which the correlation is 1 / e, metres.
        seed: of the draws.
        number: tells these fields from those of other ranges.
    """

    range_m: float
    seed: int
    number: int

    @property
    def waves(self) -> Waves:
        """Of these fields."""
        return Waves.of_range(self.range_m)

    def amplitudes(self, fields: NDArray[np.int64], draws: int) -> NDArray[np.float32]:
        """Amplitudes of the waves in draws of fields, (2 M, F, D); `waves.at` places times these are their values.

        Args:
            fields: numbers of the fields, (F,).
            draws: how many.
        """
        waves = np.arange(2 * len(self.waves.weight))
        return _normal((self.seed, self.number), (waves, np.asarray(fields), np.arange(draws)))

    @staticmethod
    def of_places(seed: int, x: Floats, y: Floats, count: int, draws: int) -> NDArray[np.float32]:
        """Independent numbers for every place, (N, count, draws): fields without any range.

        Args:
            seed: of the draws.
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).
            count: of fields.
            draws: how many.
        """
        place = (np.floor(y).astype(np.int64) << 32) + np.floor(x).astype(np.int64)
        return _normal((seed, _PLACES), (place, np.arange(count), np.arange(draws)))


def node_spacing(range_m: float) -> float:
    """Side of the squares over which a field is taken to be constant, metres: a part of its range."""
    return range_m / _NODES_IN_RANGE if np.isfinite(range_m) else 1e9


def nodes_of(x: Floats, y: Floats, spacing: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Centres of the squares that places lie in, (V,) each, and which square is each place's, (N,)."""
    col, row = (np.floor(np.asarray(each) / spacing).astype(np.int64) for each in (x, y))
    _, first, which = np.unique((row << 32) + col, return_index=True, return_inverse=True)
    east, north = (np.asarray((each[first] + 0.5) * spacing, np.float64) for each in (col, row))
    return east, north, which


def _normal(above: tuple[int, ...], axes: tuple[NDArray[np.int64], ...]) -> NDArray[np.float32]:
    """Standard normal numbers by key, of the shape of the axes."""
    with np.errstate(over="ignore"):
        key = np.zeros((1,) * len(axes), np.uint64)
        for each in above:
            key = splitmix.mix(key + np.uint64(each) + splitmix.GOLDEN)
        for axis, numbers in enumerate(axes):
            shape = tuple(-1 if each == axis else 1 for each in range(len(axes)))
            key = splitmix.mix(key + numbers.astype(np.uint64).reshape(shape) + splitmix.GOLDEN)
    return np.asarray(ndtri(splitmix.unit(key) + 2.0**-54), np.float32)

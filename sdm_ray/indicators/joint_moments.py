"""How the errors of held-out predictions go together over distance and species: products of residuals of pairs.

On the probit scale a species is present where a + w > 0, with a the normal quantile of its predicted probability and w
standard normal. Two places and species whose w have the correlation r are both present with the bivariate normal
probability, whose excess over p p' is the tetrachoric series (Pearson 1900): the sum over k of r^k / k! g_k(a) g_k(a'),
with g_k the k-th derivative of the normal distribution function. Sums over pairs of both sides can be compared without
any pair's own likelihood.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.special import ndtri

from sdm_ray.geo.grid import Floats

ORDER = 4
"""Terms of the series."""
DISTANCES_KM = (0.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
"""Edges of the classes of distance; pairs of one place with itself come first."""
_NEIGHBOURS = 8
_LEAST = 1e-5  # a probability of 0 or 1 has no quantile


@dataclass(frozen=True)
class Moments:
    """Sums over pairs of places in one class of distance.

    Attributes:
        distance_m: mean of the class; 0 for each place with itself.
        pairs: how many.
        products: of the residuals, mean over the pairs, (S, S).
        series: the same of the terms g_k(a) g_k(a') / k!, (ORDER, S, S).
        variance: of a mean product if all were independent, (S, S).
    """

    distance_m: float
    pairs: int
    products: Floats
    series: Floats
    variance: Floats


def quantile(probability: NDArray[np.floating]) -> Floats:
    """Normal quantiles of probabilities, those of 0 and 1 finite."""
    return np.asarray(ndtri(np.clip(np.asarray(probability, np.float64), _LEAST, 1 - _LEAST)))


def pair_moments(
    x: Floats, y: Floats, probability: NDArray[np.floating], labels: NDArray[np.integer], *, pairs: int, seed: int
) -> list[Moments]:
    """Moments of residuals by class of distance, from a sample of pairs.

    Args:
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        probability: predicted, (N, S).
        labels: 0 or 1, (N, S).
        pairs: of each class; classes without pairs are left out.
        seed: of the sample.
    """
    a = quantile(probability)
    residuals = np.asarray(labels, np.float64) - np.asarray(probability, np.float64)
    terms = [residuals, *_derivatives(a)]
    spread = probability.astype(np.float64) * (1 - probability)
    every = np.arange(len(a))
    drawn: list[tuple[float, NDArray[np.int64], NDArray[np.int64]]] = [(0.0, every, every)]
    edges = np.array(DISTANCES_KM) * 1000
    numbers = np.random.default_rng(seed)
    tree = KDTree(np.column_stack([x, y]))
    for low, high in pairwise(edges):
        one, other, apart = _pairs(tree, (low, high), pairs, numbers)
        if len(one):
            drawn.append((float(apart.mean()), one, other))
    return [_moments(each, terms, spread) for each in drawn]


def _derivatives(a: Floats) -> list[Floats]:
    """g_1(a) to g_ORDER(a): (-1)^(k-1) He_(k-1)(a) times the normal density."""
    density = np.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)
    hermite = [np.ones_like(a), a]
    for k in range(2, ORDER):
        hermite.append(a * hermite[-1] - (k - 1) * hermite[-2])
    return [(-1) ** k * each * density for k, each in enumerate(hermite[:ORDER])]


def _pairs(
    tree: KDTree, limits: tuple[float, float], count: int, numbers: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Pairs of places so far apart: from random places a random way on, to one of the places nearest to there."""
    places = tree.data
    one = numbers.integers(0, len(places), count)
    low, high = limits
    apart = np.sqrt(numbers.uniform(low**2, high**2, count))
    angle = numbers.uniform(0, 2 * np.pi, count)
    there = places[one] + apart[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    nearest = tree.query(there, min(_NEIGHBOURS, len(places)))[1].reshape(count, -1)
    other = nearest[np.arange(count), numbers.integers(0, nearest.shape[1], count)]
    distance = np.hypot(*(places[one] - places[other]).T)
    right = (distance >= low) & (distance < high) & (one != other)
    return one[right], other[right], distance[right]


def _moments(
    drawn: tuple[float, NDArray[np.int64], NDArray[np.int64]], terms: Sequence[Floats], spread: Floats
) -> Moments:
    distance, one, other = drawn
    count = len(one)

    def mean(values: Floats) -> Floats:
        product = values[one].T @ values[other] / count
        return (product + product.T) / 2

    series = [mean(each) / math.factorial(k) for k, each in enumerate(terms[1:], 1)]
    return Moments(distance, count, mean(terms[0]), np.stack(series), mean(spread) / count)

"""The area of applicability of a model: cells whose covariates are not too unlike those of its surveys.

Meyer and Pebesma 2021, Methods in Ecology and Evolution 12:1620. Covariates are standardised by the surveys and
weighted by their importance. The dissimilarity index (DI) of a cell is its distance to the nearest survey, divided by
the mean distance between surveys. The DI of a survey is taken to surveys of other cross-validation folds alone; a cell
whose DI is above the upper whisker of these (the largest at most 1.5 interquartile ranges above the third quartile) is
outside: the cross-validated scores do not tell how good the model is there.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.neighbors import NearestNeighbors

_PAIRS = 2000  # surveys whose distances to each other give the mean distance


@dataclass(frozen=True)
class Reference:
    """The surveys that cells are compared with.

    Attributes:
        values: covariates, all known, (R, C).
        folds: fold that holds out each survey, (R,).
        weights: how much each covariate counts, 0 or more, (C,).
    """

    values: np.ndarray
    folds: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Applicability:
    """The dissimilarity index of places, and its threshold; small enough to be sent to workers.

    Attributes:
        used: covariates that have a weight and differ between surveys, (C,).
        mean: of these among the surveys, (U,).
        weights: of these, the largest 1, (U,).
        scale: weight over standard deviation of these, (U,).
        points: standardised and weighted covariates of the surveys that are searched, (Q, U).
        exact: whether all surveys are searched; where they are not, a DI may be larger than by definition.
        mean_distance: between surveys, of at most 2,000 drawn at random; it scales the DI and its threshold alike.
        threshold: largest DI inside the area of applicability.
    """

    used: np.ndarray
    mean: np.ndarray
    weights: np.ndarray
    scale: np.ndarray
    points: np.ndarray
    exact: bool
    mean_distance: float
    threshold: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """Dissimilarity index of places, float32 (N,), from their covariates (N, C); NaN where one is not known."""
        found = np.full(len(values), np.nan, np.float32)
        known = np.isfinite(values[:, self.used]).all(axis=1)
        if known.any():
            found[known] = _nearest(self._searched, self.scaled(values[known])) / self.mean_distance
        return found

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Standardised and weighted covariates, (N, U), of covariates (N, C)."""
        return np.asarray((values[:, self.used] - self.mean) * self.scale)

    @cached_property
    def _searched(self) -> NearestNeighbors:
        return _searched(self.points)


def fit(reference: Reference, most: int, seed: int) -> Applicability:
    """The index of a model's surveys.

    Surveys of equal covariates and fold are one. Of more than `most` different ones, as many are drawn at random.

    Args:
        reference: the surveys.
        most: surveys that are searched.
        seed: of the draws.

    Raises:
        ValueError: no covariate that differs between surveys has a weight.
    """
    values = reference.values.astype(np.float64)
    spread = values.std(axis=0)
    weights = reference.weights / max(float(reference.weights.max()), 1e-12)
    used = (weights > 0) & (spread > 0)
    if not used.any():
        raise ValueError("no covariate with a weight differs between surveys")
    mean, scale = values[:, used].mean(axis=0), weights[used] / spread[used]
    points = (values[:, used] - mean) * scale
    numbers = np.random.default_rng(seed)
    between = mean_distance(points[numbers.permutation(len(points))[:_PAIRS]])
    rows = np.sort(np.unique(np.column_stack([points, reference.folds]), axis=0, return_index=True)[1])
    exact = len(rows) <= most
    if not exact:
        rows = np.sort(numbers.choice(rows, most, replace=False))
    points, folds = points[rows], reference.folds[rows]
    threshold = upper_whisker(_to_other_folds(points, folds) / between)
    return Applicability(used, mean, weights[used], scale, points, exact, between, threshold)


def mean_distance(points: np.ndarray) -> float:
    """Mean Euclidean distance between different points, (N, C)."""
    squares = (points**2).sum(axis=1)
    between = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(between, 0)
    return float(between.sum() / (len(points) * (len(points) - 1)))


def upper_whisker(values: np.ndarray) -> float:
    """The largest value that is at most 1.5 interquartile ranges above the third quartile (Tukey's box plot)."""
    low, high = np.percentile(values, [25, 75])
    return float(values[values <= high + 1.5 * (high - low)].max())


def _to_other_folds(points: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Distance of each survey to the nearest one of another fold; to any other where there is but one fold."""
    names = np.unique(folds)
    if len(names) == 1:
        return np.asarray(_searched(points).kneighbors(points, n_neighbors=2)[0][:, 1])
    found = np.empty(len(points))
    for name in names:
        own = folds == name
        found[own] = _nearest(_searched(points[~own]), points[own])
    return found


def _searched(points: np.ndarray) -> NearestNeighbors:
    """Exact search: a KD-tree, or all distances where there are so many covariates that a tree is slower."""
    return NearestNeighbors(n_neighbors=1).fit(points)


def _nearest(searched: NearestNeighbors, points: np.ndarray) -> np.ndarray:
    return np.asarray(searched.kneighbors(points)[0][:, 0])

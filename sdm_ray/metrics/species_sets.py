"""The set of species predicted for a survey from their probabilities, and scores of such sets.

A set is chosen by one of four rules: the k likeliest species; all above a threshold; the set with the highest expected
F1; or a simpler form of it, as many of the likeliest species as the probabilities sum up to.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import f1_score

from sdm_ray.metrics.config import SetRule

_CELLS = 1 << 22  # numbers in the arrays of expected F1: bounds their memory
_THRESHOLDS = np.round(np.arange(0.02, 1, 0.02), 2)


def choose(
    probabilities: np.ndarray, rule: SetRule, k: int | None = None, threshold: float | None = None
) -> np.ndarray:
    """The set of species of each survey by one rule, bool (N, S).

    Args:
        probabilities: (N, S).
        rule: name of the rule.
        k: number of species for `top_k`.
        threshold: for `threshold`.
    """
    if rule == "top_k":
        assert k is not None
        return top_k(probabilities, k)
    if rule == "threshold":
        assert threshold is not None
        return probabilities >= threshold
    return expected_size(probabilities) if rule == "expected_size" else max_expected_f1(probabilities)


def top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """The k likeliest species of each survey, bool (N, S)."""
    return _likeliest(probabilities, np.full(len(probabilities), k))


def expected_size(probabilities: np.ndarray) -> np.ndarray:
    """As many of the likeliest species as the probabilities of a survey sum up to, at least one; bool (N, S)."""
    return _likeliest(probabilities, np.maximum(1, np.rint(probabilities.sum(axis=1)).astype(int)))


def max_expected_f1(probabilities: np.ndarray, most: int = 200) -> np.ndarray:
    """The set with the highest expected F1 if species were independent, bool (N, S).

    The best set of every size holds the likeliest species, and the expected F1 of all sizes takes time quadratic in
    the number of species (Ye et al. 2012, Optimizing F-measure: a tale of two approaches, section 4).

    Args:
        probabilities: (N, S).
        most: only this number of likeliest species is considered in a survey.
    """
    width = min(most, probabilities.shape[1])
    sizes = np.empty(len(probabilities), int)
    step = max(1, _CELLS // (width + 1) ** 2)
    for start in range(0, len(probabilities), step):
        part = probabilities[start : start + step]
        likeliest = -np.partition(-part, width - 1, axis=1)[:, :width]
        sizes[start : start + step] = expected_f1(-np.sort(-likeliest, axis=1)).argmax(axis=1)
    return _likeliest(probabilities, sizes)


def expected_f1(descending: np.ndarray) -> np.ndarray:
    """Expected F1 of the sets of the 0, 1, … S likeliest species, (N, S + 1); an empty set of an empty survey has 1.

    Args:
        descending: probabilities of independent species, the highest first, (N, S).
    """
    rows, species = descending.shape
    right = np.zeros((rows, species + 1, species + 1))  # [:, k, j]: probability that j of the first k are present
    right[:, 0, 0] = 1
    for k in range(1, species + 1):
        p = descending[:, k - 1, None]
        right[:, k] = right[:, k - 1] * (1 - p)
        right[:, k, 1:] += right[:, k - 1, :-1] * p
    found = np.empty((rows, species + 1))
    found[:, 0] = right[:, species, 0]
    # [:, a]: mean of 1 / (a + number present among the species after k); from k = S backwards
    inverse = np.tile(1 / np.maximum(np.arange(2 * species + 1), 1.0), (rows, 1))
    for k in range(species, 0, -1):
        j = np.arange(1, k + 1)
        found[:, k] = (2 * j * right[:, k, 1 : k + 1] * inverse[:, k + j]).sum(axis=1)
        p = descending[:, k - 1, None]
        inverse[:, :-1] = p * inverse[:, 1:] + (1 - p) * inverse[:, :-1]
    return found


def best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold, in steps of 0.02, with the highest mean F1 per survey."""
    means = [survey_f1(labels, probabilities >= threshold).mean() for threshold in _THRESHOLDS]
    return float(_THRESHOLDS[int(np.argmax(means))])


def survey_f1(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """F1 of each survey's set, (N,); 1 where both the set and the survey are empty."""
    both = np.count_nonzero(labels.astype(bool) & chosen, axis=1)
    either = np.count_nonzero(labels, axis=1) + np.count_nonzero(chosen, axis=1)
    return np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0)


def pooled_f1(labels: np.ndarray, chosen: np.ndarray, counted: np.ndarray) -> tuple[float, float]:
    """Micro and macro F1 over the species of a mask, (S,) bool."""
    y, predicted = labels[:, counted], chosen[:, counted]
    micro, macro = (f1_score(y, predicted, average=average, zero_division=0) for average in ("micro", "macro"))
    return float(micro), float(macro)


def survey_recall(labels: np.ndarray, probabilities: np.ndarray, k: int) -> np.ndarray:
    """Share of each survey's species that are among its k likeliest ones, (N,); NaN where it has no species."""
    present = np.count_nonzero(labels, axis=1)
    hits = np.count_nonzero(labels.astype(bool) & top_k(probabilities, k), axis=1)
    return np.where(present > 0, hits / np.maximum(present, 1), np.nan)


def _likeliest(probabilities: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The likeliest species of each survey, (N,) of them; bool (N, S)."""
    chosen = np.empty(probabilities.shape, bool)
    for rows in _parts(len(probabilities)):
        order = np.argsort(-probabilities[rows], axis=1, kind="stable")
        within = np.arange(probabilities.shape[1]) < sizes[rows, None]
        np.put_along_axis(chosen[rows], order, within, axis=1)
    return chosen


def _parts(rows: int) -> Iterator[slice]:
    for start in range(0, rows, 4096):
        yield slice(start, start + 4096)

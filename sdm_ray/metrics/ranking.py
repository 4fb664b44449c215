"""Scores per species: AUC, average precision, and rank correlation.

Throughout, `labels` is (N, S) of 0 and 1 and `scores` is (N, S), one column for each species. A score that is not
defined (no positives, or no negatives) is NaN.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_LEVELS_AT_ONCE = 2048  # bounds the memory of block_scores to some tens of megabytes


@dataclass(frozen=True)
class Macro:
    """Mean of a score over species.

    Attributes:
        value: the mean; NaN without any species.
        counted: number of species in the mean.
        left_out: number of species with too few positives or an undefined score.
    """

    value: float
    counted: int
    left_out: int


def macro(values: np.ndarray, positives: np.ndarray, min_positives: int = 1) -> Macro:
    """Mean over the species with at least `min_positives` positives and a defined score."""
    counts = (positives >= min_positives) & np.isfinite(values)
    value = float(values[counts].mean()) if counts.any() else float("nan")
    return Macro(value, int(counts.sum()), int((~counts).sum()))


def auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve of each species: the probability that a positive outranks a negative, ties one half.

    Args:
        labels: (N, S) of 0 and 1.
        scores: (N, S), finite.
        weights: (N,) non-negative weights of the rows.

    Returns:
        (S,) float64.
    """
    if weights is not None:
        return _weighted(labels, scores, weights)[0]
    from scipy.stats import rankdata  # more than a second of the start of every worker

    found = np.full(labels.shape[1], np.nan)
    for species, (label, score) in enumerate(zip(labels.T, scores.T, strict=True)):
        positives = np.flatnonzero(label)
        negatives = len(label) - len(positives)
        if len(positives) and negatives:
            # Mann-Whitney: the rank sum of the positives, less what they would have among themselves
            excess = rankdata(score)[positives].sum() - len(positives) * (len(positives) + 1) / 2
            found[species] = excess / (len(positives) * negatives)
    return found


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Average precision of each species: sum of precision times increase of recall, as scikit-learn defines it.

    Arguments and result as for `auc`.
    """
    return _weighted(labels, scores, np.ones(len(labels)) if weights is None else weights)[1]


def _weighted(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision (S,), where every row is a block of its own."""
    each = block_scores(labels, scores, np.zeros(len(labels), np.int64), np.ones((1, 1)), weights)
    return each[0][:, 0], each[1][:, 0]


def block_scores(
    labels: np.ndarray,
    scores: np.ndarray,
    block: np.ndarray,
    weights: np.ndarray,
    row_weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision under many weightings of whole blocks, exact with ties.

    Both scores need only the weight of rows above and at each score that a positive has. Counting rows by score and
    block once turns every weighting into a matrix product, so that hundreds of bootstrap resamples cost little more
    than one sort of each species' scores.

    Args:
        labels: (N, S) of 0 and 1.
        scores: (N, S), finite.
        block: (N,) block of each row, 0..B-1.
        weights: (B, R) non-negative, weight of each block in each of R weightings.
        row_weights: (N,) non-negative, a further weight of each row within its block.

    Returns:
        Two (S, R) float64: AUC and average precision; NaN where a weighting has no positives or no negatives.
    """
    weights = np.asarray(weights, np.float64)
    rows = np.ones(len(block)) if row_weights is None else np.asarray(row_weights, np.float64)
    found_auc = np.full((labels.shape[1], weights.shape[1]), np.nan)
    found_ap = found_auc.copy()
    total = np.bincount(block, rows, minlength=len(weights)) @ weights
    for species in range(labels.shape[1]):
        positive = labels[:, species] != 0
        if positive.any():
            pair = _species_scores(positive, scores[:, species], block, weights, rows, total)
            found_auc[species], found_ap[species] = pair
    return found_auc, found_ap


def _species_scores(
    positive: np.ndarray,
    score: np.ndarray,
    block: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    total: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """One species of `block_scores`: two (R,) arrays."""
    levels = np.unique(score[positive])[::-1]  # descending: the best score first
    count = len(levels)
    # a row with levels[g-1] > score > levels[g] lies above level g and below g-1: it enters the sum at g
    place = count - np.searchsorted(levels[::-1], score, side="right")
    tied = np.zeros(len(score), bool)
    inside = place < count
    tied[inside] = levels[place[inside]] == score[inside]

    def counted(which: np.ndarray) -> sparse.csr_array:
        """(count + 1, B): weight of the chosen rows by level and block; the last is below all levels."""
        cells = (rows[which], (place[which], block[which]))
        return sparse.csr_array(sparse.coo_array(cells, shape=(count + 1, len(weights))))

    between, at, hits = counted(~tied), counted(tied), counted(positive)
    positives = hits.sum(axis=0) @ weights
    negatives = total - positives
    above = np.zeros(weights.shape[1])  # weight of all rows above the level at hand
    hits_above = np.zeros_like(above)
    area = np.zeros_like(above)
    precision = np.zeros_like(above)
    for start in range(0, count, _LEVELS_AT_ONCE):
        part = slice(start, min(start + _LEVELS_AT_ONCE, count))
        here, hit = at[part] @ weights, hits[part] @ weights  # (levels, R)
        upto = above + np.cumsum(between[part] @ weights + here, axis=0)
        hits_upto = hits_above + np.cumsum(hit, axis=0)
        misses_upto = upto - hits_upto
        area += (hit * (negatives - misses_upto + (here - hit) / 2)).sum(axis=0)
        precision += (hit * hits_upto / np.maximum(upto, np.finfo(float).tiny)).sum(axis=0)
        above, hits_above = upto[-1], hits_upto[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        area = np.where((positives > 0) & (negatives > 0), area / (positives * negatives), np.nan)
        precision = np.where((positives > 0) & (negatives > 0), precision / positives, np.nan)
    return area, precision


def spearman(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of predictions with the truth, for each species.

    Args:
        predicted: (S, n); cells that are not finite here or in `truth` are left out.
        truth: (S, n).

    Returns:
        (S,) float64; NaN where either is constant.
    """
    return np.array([_rank_correlation(*pair) for pair in zip(predicted, truth, strict=True)], np.float64)


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import spearmanr

    known = np.isfinite(first) & np.isfinite(second)
    a, b = first[known], second[known]
    if not len(a) or (a == a[0]).all() or (b == b[0]).all():
        return float("nan")
    return float(spearmanr(a, b).statistic)

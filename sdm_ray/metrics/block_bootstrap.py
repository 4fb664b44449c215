"""Confidence intervals by the block bootstrap: whole spatial blocks are resampled, the same ones for every method.

Neighbouring surveys have similar species and errors, so that resampling single surveys would make intervals far too
narrow (Roberts et al. 2017, Ecography 40:913).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sdm_ray.metrics.ranking import Macro, block_scores, macro

METRICS = ("auc", "average_precision")


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Methods scored on the same rows and the same resamples of blocks.

    Attributes:
        values: metric -> method -> macro score with interval.
        differences: metric -> (first, second) -> first minus second with interval.
        species: metric -> method -> (S,) score of each species on all rows, NaN where not defined.
        counted: number of species in the macro means.
        left_out: number of species with fewer positives than `min_positives`, or no negatives.
        blocks: number of blocks.
    """

    values: dict[str, dict[str, Interval]]
    differences: dict[str, dict[tuple[str, str], Interval]]
    species: dict[str, dict[str, np.ndarray]]
    counted: int
    left_out: int
    blocks: int


def block_resamples(blocks: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw blocks with replacement.

    Args:
        blocks: (N,) int64 block id of each row.
        resamples: number of resamples.
        seed: of the draws.

    Returns:
        (N,) position of each row's block among the sorted ids, and (B, 1 + resamples) weight of each block in each
        resample; the first column is the original sample.
    """
    ids, position = np.unique(blocks, return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=resamples)
    return position, np.vstack([np.ones((1, len(ids)), int), draws]).T


def compare(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    blocks: np.ndarray,
    *,
    folds: np.ndarray | None = None,
    resamples: int = 200,
    seed: int = 0,
    min_positives: int = 10,
) -> Comparison:
    """Macro AUC and average precision of each method, and all pairwise differences, with block-bootstrap intervals.

    The species of the macro means are chosen once, on all rows. A resample without a block that holds a species leaves
    that species out, for every method alike.

    Args:
        labels: (N, S) of 0 and 1.
        predictions: method -> (N, S) scores.
        blocks: (N,) int64 block id of each row.
        folds: (N,) fold that holds out each row, for means of scores within folds, where a species is scored in the
            folds with at least `min_positives` positives and intervals are shifted to lie around the value; None for
            scores of all rows pooled, where differences of level between the folds' models lower the score.
        resamples: number of resamples.
        seed: of the resamples.
        min_positives: fewest positives of a species in the means.
    """
    position, weights = block_resamples(blocks, resamples, seed)
    positives = np.count_nonzero(labels, axis=0)
    parts, least = [np.arange(len(labels))], 0
    if folds is not None:
        parts, least = [np.flatnonzero(folds == each) for each in np.unique(folds)], min_positives
    enough = np.stack([np.count_nonzero(labels[part], axis=0) >= least for part in parts])
    per_species: dict[str, dict[str, np.ndarray]] = {metric: {} for metric in METRICS}
    means: dict[str, dict[str, np.ndarray]] = {metric: {} for metric in METRICS}
    summary = Macro(float("nan"), 0, labels.shape[1])
    for method, scores in predictions.items():
        found = [block_scores(labels[part], scores[part], position[part], weights) for part in parts]
        for metric, of_parts in zip(METRICS, zip(*found, strict=True), strict=True):
            each = _mean(np.where(enough[..., None], np.stack(of_parts), np.nan))
            per_species[metric][method] = each[:, 0]
            draws = macro_of_columns(each, positives, min_positives)
            means[metric][method] = draws if folds is None else around_value(draws)
            summary = macro(each[:, 0], positives, min_positives)
    values = {m: {method: as_interval(draws) for method, draws in means[m].items()} for m in METRICS}
    differences = {
        m: {(a, b): as_interval(means[m][a] - means[m][b]) for a, b in combinations(means[m], 2)} for m in METRICS
    }
    return Comparison(values, differences, per_species, summary.counted, summary.left_out, len(weights))


def around_value(draws: np.ndarray) -> np.ndarray:
    """Resamples shifted so that their median is the first draw, the value.

    Within a fold a resample often misses the only block that holds a species, whose score there, mostly a high one, is
    then undefined: unshifted intervals would lie below their values.
    """
    return np.concatenate([draws[:1], draws[1:] + (draws[0] - np.nanmedian(draws[1:]))])


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of the finite values along the first axis, NaN where there are none."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))


def mean_interval(values: np.ndarray, blocks: np.ndarray, *, resamples: int = 200, seed: int = 0) -> Interval:
    """Mean over rows with its interval; rows without a value (NaN) are left out.

    Args:
        values: (N,), such as the F1 of each survey.
        blocks: (N,) int64 block id of each row.
        resamples: number of resamples.
        seed: of the resamples.
    """
    known = np.isfinite(values)
    position, weights = block_resamples(blocks, resamples, seed)
    sums = np.bincount(position, np.where(known, values, 0), minlength=len(weights))
    counts = np.bincount(position, known, minlength=len(weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        return as_interval((sums @ weights) / (counts @ weights))


def macro_of_columns(each: np.ndarray, positives: np.ndarray, min_positives: int) -> np.ndarray:
    """Mean over species with at least `min_positives` positives, (R,) of scores (S, R); undefined ones are left out."""
    return _mean(each[positives >= min_positives])


def as_interval(draws: np.ndarray) -> Interval:
    """The first draw as the value, with the 2.5th and 97.5th percentile of the others."""
    again = draws[1:][np.isfinite(draws[1:])]
    low, high = np.percentile(again, [2.5, 97.5]) if len(again) else (np.nan, np.nan)
    return Interval(float(draws[0]), float(low), float(high))

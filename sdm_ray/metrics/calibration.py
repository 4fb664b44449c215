"""Calibration of probabilities, Boyce's index, and thresholds.

Throughout, `labels` is (N, S) of 0 and 1 and `probabilities` is (N, S). What is not defined is NaN.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_curve

from sdm_ray.metrics.probability_kind import require_levels

Cut = Literal["max_tss", "equal", "tenth_percentile", "minimum_presence", "prevalence"]
"""A threshold by name: the highest true skill statistic; sensitivity equal to specificity; the tenth percentile of the
presences' probabilities; their minimum; the prevalence."""


def brier(labels: np.ndarray, probabilities: np.ndarray, probability_kind: str, *, force: bool = False) -> np.ndarray:
    """Brier score of each species, the mean squared error of its probabilities (S,).

    Raises:
        InputError: the probabilities are `relative` and `force` is not set.
    """
    require_levels("Brier score", probability_kind, force=force)
    return _per_species(labels, probabilities, lambda label, p: float(np.mean((p - label) ** 2)))


def calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, probability_kind: str, bins: int = 10, *, force: bool = False
) -> np.ndarray:
    """Expected calibration error of each species (S,): mean over bins of |mean probability - prevalence in the bin|.

    Bins hold equal numbers of surveys, since most probabilities of a rare species lie close to 0 (Nguyen and O'Connor
    2015, "Posterior calibration and exploratory analysis for natural language processing models").

    Raises:
        InputError: the probabilities are `relative` and `force` is not set.
    """
    require_levels("expected calibration error", probability_kind, force=force)

    def error(label: np.ndarray, p: np.ndarray) -> float:
        parts = np.array_split(np.argsort(p, kind="stable"), bins)
        return float(sum(abs((p[rows] - label[rows]).sum()) for rows in parts) / len(p))

    return _per_species(labels, probabilities, error)


def tss(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: np.ndarray | float,
    probability_kind: str,
    *,
    force: bool = False,
) -> np.ndarray:
    """True skill statistic of each species, sensitivity + specificity - 1 at thresholds (N, S), (S,) or one; (S,).

    NaN where a species has no positives or no negatives.

    Raises:
        InputError: the probabilities are `relative` and `force` is not set.
    """
    require_levels("TSS", probability_kind, force=force)
    above, present = probabilities >= thresholds, labels != 0
    positives = np.count_nonzero(present, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = np.count_nonzero(above & present, axis=0) / positives
        specificity = np.count_nonzero(~above & ~present, axis=0) / (len(labels) - positives)
    return np.asarray(sensitivity + specificity - 1)


def boyce(labels: np.ndarray, scores: np.ndarray, windows: int = 101, share: float = 0.1) -> np.ndarray:
    """Continuous Boyce index of each species with all rows as the background, -1 to 1 (S,).

    Spearman correlation of the score with the predicted-to-expected ratio of presences in moving windows of the score;
    consecutive windows with the same ratio count once (Hirzel et al. 2006, Ecological Modelling 199:142).

    Args:
        labels: presences, (N, S).
        scores: any score that is higher where the species is likelier, (N, S).
        windows: number of windows.
        share: width of a window as a share of the scores' range.
    """
    return _per_species(labels, scores, lambda label, score: _boyce(label, score, windows, share))


def cuts(labels: np.ndarray, probabilities: np.ndarray) -> Mapping[Cut, np.ndarray]:
    """Thresholds of each species by name, (S,) each; NaN where a species is nowhere or everywhere."""
    found: dict[Cut, np.ndarray] = {name: np.full(labels.shape[1], np.nan) for name in _CUTS}
    for species, (label, p) in enumerate(zip(labels.T, probabilities.T, strict=True)):
        present = label != 0
        if present.all() or not present.any():
            continue
        misses, hits, levels = roc_curve(present, p.astype(np.float64), drop_intermediate=False)
        misses, hits, levels = misses[1:], hits[1:], levels[1:]  # without the threshold that no row reaches
        found["max_tss"][species] = levels[np.argmax(hits - misses)]
        found["equal"][species] = levels[np.argmin(np.abs(hits + misses - 1))]
        found["tenth_percentile"][species] = np.percentile(p[present], 10)
        found["minimum_presence"][species] = p[present].min()
        found["prevalence"][species] = present.mean()
    return found


PRESENCE_CUTS: tuple[Cut, ...] = ("tenth_percentile", "minimum_presence")
"""Thresholds that need no absences."""
_CUTS: tuple[Cut, ...] = ("max_tss", "equal", "tenth_percentile", "minimum_presence", "prevalence")


def _boyce(label: np.ndarray, score: np.ndarray, windows: int, share: float) -> float:
    present = np.sort(score[label != 0])
    background = np.sort(score)
    low, high = background[0], background[-1]
    if not len(present) or low == high:
        return float("nan")
    width = (high - low) * share
    centre = np.linspace(low + width / 2, high - width / 2, windows)

    def inside(values: np.ndarray) -> np.ndarray:
        first = np.searchsorted(values, centre - width / 2, "left")
        return np.asarray((np.searchsorted(values, centre + width / 2, "right") - first) / len(values))

    expected = inside(background)
    ratio, centre = inside(present)[expected > 0] / expected[expected > 0], centre[expected > 0]
    kept = np.append(True, np.diff(ratio) != 0)
    if kept.sum() < 3:
        return float("nan")
    return float(spearmanr(ratio[kept], centre[kept]).statistic)


def _per_species(
    labels: np.ndarray, values: np.ndarray, score: Callable[[np.ndarray, np.ndarray], float]
) -> np.ndarray:
    pairs = zip(labels.T, values.T, strict=True)
    return np.array([score(label, value.astype(np.float64)) for label, value in pairs], np.float64)

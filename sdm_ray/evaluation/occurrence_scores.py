"""Figures of probabilities of occurrence: the sets of species that follow from them, and whether they are calibrated.

What has to be chosen (a threshold, the size of a set) is chosen for each fold on the held-out surveys of the others.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sdm_ray.evaluation.config import EvaluateConfig, SetsConfig
from sdm_ray.evaluation.folds import Fold
from sdm_ray.evaluation.scores import Held, number
from sdm_ray.metrics import species_sets
from sdm_ray.metrics.calibration import boyce, brier, calibration_error, cuts, tss
from sdm_ray.metrics.config import PREVALENCE, SetRule
from sdm_ray.metrics.probability_kind import has_levels

_RECALL = (20, 100)


def species_scores(
    held: Held, predictions: Mapping[str, np.ndarray], cuts: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Score -> method -> (S,): Boyce's index and, unless probabilities are `relative`, TSS, Brier and calibration.

    Args:
        held: the surveys.
        predictions: method -> (N, S).
        cuts: method -> thresholds of TSS, (N, S), see `cuts_by_fold`.
    """
    found = {"boyce": {method: boyce(held.labels, each) for method, each in predictions.items()}}
    if not has_levels(held.probability_kind):
        return found
    kind = held.probability_kind
    found["tss"] = {method: tss(held.labels, p, cuts[method], kind) for method, p in predictions.items()}
    found["brier"] = {m: brier(held.labels, p, kind) for m, p in predictions.items()}
    found["calibration_error"] = {m: calibration_error(held.labels, p, kind) for m, p in predictions.items()}
    return found


def set_scores(
    held: Held, predictions: Mapping[str, np.ndarray], folds: Sequence[Fold], config: EvaluateConfig
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, float | None]]]:
    """How right the sets of species are, by each rule, and the likeliest species.

    Args:
        held: the surveys.
        predictions: method -> probabilities (N, S).
        folds: what tested them.
        config: of the job.

    Returns:
        Score -> method -> its value for each survey, (N,) (F1, recall at 20 and at 100), and score -> method -> micro
        and macro F1 over the species that count.
    """
    surveys: dict[str, dict[str, np.ndarray]] = {}
    pooled: dict[str, dict[str, float | None]] = {}
    counted = np.count_nonzero(held.labels, axis=0) >= config.min_positives
    for method, each in predictions.items():
        for rule in config.sets.rules:
            chosen = chosen_sets(held, each, folds, rule, config.sets)
            surveys.setdefault(f"f1, {rule}", {})[method] = species_sets.survey_f1(held.labels, chosen)
            for name, value in zip(
                ("micro", "macro"), species_sets.pooled_f1(held.labels, chosen, counted), strict=True
            ):
                pooled.setdefault(f"{name} f1, {rule}", {})[method] = number(value)
        if (held.labels.sum(axis=1) == 1).all():  # classes: the likeliest is right or wrong
            surveys.setdefault("accuracy", {})[method] = species_sets.survey_recall(held.labels, each, 1)
        for k in _RECALL:
            if k < held.labels.shape[1]:
                surveys.setdefault(f"recall@{k}", {})[method] = species_sets.survey_recall(held.labels, each, k)
    return surveys, pooled


def chosen_sets(
    held: Held, probabilities: np.ndarray, folds: Sequence[Fold], rule: SetRule, config: SetsConfig
) -> np.ndarray:
    """The set of species of each survey by one rule, bool (N, S)."""
    if rule in ("expected_size", "max_expected_f1"):
        return species_sets.choose(probabilities, rule)
    chosen = np.zeros(probabilities.shape, bool)
    for fold, others in _folds_and_others(folds):
        k, cut = config.k, config.threshold
        if rule == "top_k":
            k = k or max(1, round(held.labels[others].sum(axis=1).mean()))
        else:
            cut = cut or species_sets.best_threshold(held.labels[others], probabilities[others])
        chosen[fold.test] = species_sets.choose(probabilities[fold.test], rule, k, cut)
    return chosen


def by_prevalence(
    held: Held, species: Mapping[str, Mapping[str, np.ndarray]], min_positives: int
) -> list[dict[str, Any]]:
    """Mean scores of the species of each class of prevalence: the class, its species, and score -> method -> value."""
    positives = np.count_nonzero(held.labels, axis=0)
    share = positives / len(held.labels)
    found = []
    for low, high in pairwise(PREVALENCE):
        chosen = (share > low) & (share <= high) & (positives >= min_positives)
        if chosen.any():
            means = {s: {m: number(np.nanmean(v[chosen])) for m, v in each.items()} for s, each in species.items()}
            found.append({"above": low, "to": high, "species": int(chosen.sum()), "values": means})
    return found


def calibration_by_prevalence(
    held: Held, predictions: Mapping[str, np.ndarray], species: Mapping[str, Mapping[str, np.ndarray]]
) -> list[dict[str, Any]]:
    """Whether the probabilities of rare and of frequent species have the right level; none of `relative` ones.

    All species count, those that no survey holds in the rarest class: leaving them out would make every method look
    too low there.

    Args:
        held: the surveys.
        predictions: method -> probabilities (N, S).
        species: score -> method -> (S,), with `calibration_error`.

    Returns:
        For each class of prevalence: its bounds, number of species, mean share of surveys with a species (`observed`),
        and by method the mean probability (`predicted`), their ratio and the mean expected calibration error.
    """
    if not has_levels(held.probability_kind):
        return []
    share = np.count_nonzero(held.labels, axis=0) / len(held.labels)
    found = []
    for low, high in pairwise(PREVALENCE):
        chosen = (share > low if low else share >= 0) & (share <= high)
        if not chosen.any():
            continue
        observed = float(share[chosen].mean())
        mean = {method: float(each[:, chosen].mean(dtype=np.float64)) for method, each in predictions.items()}
        errors = {m: number(float(each[chosen].mean())) for m, each in species["calibration_error"].items()}
        found.append({
            "above": low,
            "to": high,
            "species": int(chosen.sum()),
            "observed": observed,
            "predicted": mean,
            "ratio": {method: each / observed if observed else None for method, each in mean.items()},
            "calibration_error": errors,
        })  # fmt: skip
    return found


def cuts_by_fold(held: Held, predictions: Mapping[str, np.ndarray], folds: Sequence[Fold]) -> dict[str, np.ndarray]:
    """Each survey's thresholds of highest TSS, chosen on the other folds: method -> (N, S).

    NaN, which nothing is above, where there is none; of `relative` probabilities there are none at all.
    """
    if not has_levels(held.probability_kind):
        return {}
    found = {method: np.full(each.shape, np.nan, np.float32) for method, each in predictions.items()}
    for fold, others in _folds_and_others(folds):
        for method, each in predictions.items():
            found[method][fold.test] = cuts(held.labels[others], each[others])["max_tss"]
    return found


def _folds_and_others(folds: Sequence[Fold]) -> list[tuple[Fold, np.ndarray]]:
    """Each fold with the rows that the others test."""
    pairs = []
    for fold in folds:
        others = [each.test for each in folds if each is not fold]
        pairs.append((fold, np.concatenate(others) if others else fold.test))
    return pairs

"""Scores of probabilities: sets of species, TSS, Brier score and calibration, also by prevalence.

Thresholds and sizes of sets for a fold are chosen on the held-out surveys of the other folds.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sdm_ray.evaluation.config import EvaluateConfig, SetsConfig
from sdm_ray.evaluation.folds import Fold
from sdm_ray.evaluation.scores import HeldOutSurveys, number
from sdm_ray.metrics import species_sets
from sdm_ray.metrics.calibration import boyce, brier, calibration_error, cuts, tss
from sdm_ray.metrics.config import PREVALENCE, SetRule
from sdm_ray.metrics.probability_kind import has_levels

_RECALL = (20, 100)


def species_scores(
    surveys: HeldOutSurveys, predictions: Mapping[str, np.ndarray], cuts: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Score -> method -> (S,): Boyce index and, unless probabilities are `relative`, TSS, Brier score and calibration.

    Args:
        surveys: the surveys.
        predictions: method -> (N, S).
        cuts: method -> thresholds for TSS, (N, S), see `cuts_by_fold`.
    """
    found = {"boyce": {method: boyce(surveys.labels, each) for method, each in predictions.items()}}
    if not has_levels(surveys.probability_kind):
        return found
    kind = surveys.probability_kind
    found["tss"] = {method: tss(surveys.labels, p, cuts[method], kind) for method, p in predictions.items()}
    found["brier"] = {m: brier(surveys.labels, p, kind) for m, p in predictions.items()}
    found["calibration_error"] = {m: calibration_error(surveys.labels, p, kind) for m, p in predictions.items()}
    return found


def set_scores(
    surveys: HeldOutSurveys, predictions: Mapping[str, np.ndarray], folds: Sequence[Fold], config: EvaluateConfig
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, float | None]]]:
    """F1 of the sets of species by each rule, and recall of the likeliest species.

    Args:
        surveys: the surveys.
        predictions: method -> probabilities (N, S).
        folds: the folds that tested them.
        config: of the job.

    Returns:
        Score -> method -> value of each survey, (N,) (F1, recall at 20 and at 100), and score -> method -> micro and
        macro F1 over the species with at least `min_positives` surveys.
    """
    by_survey: dict[str, dict[str, np.ndarray]] = {}
    pooled: dict[str, dict[str, float | None]] = {}
    counted = np.count_nonzero(surveys.labels, axis=0) >= config.min_positives
    for method, each in predictions.items():
        for rule in config.sets.rules:
            chosen = chosen_sets(surveys, each, folds, rule, config.sets)
            by_survey.setdefault(f"f1, {rule}", {})[method] = species_sets.survey_f1(surveys.labels, chosen)
            for name, value in zip(
                ("micro", "macro"), species_sets.pooled_f1(surveys.labels, chosen, counted), strict=True
            ):
                pooled.setdefault(f"{name} f1, {rule}", {})[method] = number(value)
        if (surveys.labels.sum(axis=1) == 1).all():  # classes
            by_survey.setdefault("accuracy", {})[method] = species_sets.survey_recall(surveys.labels, each, 1)
        for k in _RECALL:
            if k < surveys.labels.shape[1]:
                by_survey.setdefault(f"recall@{k}", {})[method] = species_sets.survey_recall(surveys.labels, each, k)
    return by_survey, pooled


def chosen_sets(
    surveys: HeldOutSurveys, probabilities: np.ndarray, folds: Sequence[Fold], rule: SetRule, config: SetsConfig
) -> np.ndarray:
    """The set of species of each survey by a rule, bool (N, S)."""
    if rule in ("expected_size", "max_expected_f1"):
        return species_sets.choose(probabilities, rule)
    chosen = np.zeros(probabilities.shape, bool)
    for fold, others in _folds_and_others(folds):
        k, cut = config.k, config.threshold
        if rule == "top_k":
            k = k or max(1, round(surveys.labels[others].sum(axis=1).mean()))
        else:
            cut = cut or species_sets.best_threshold(surveys.labels[others], probabilities[others])
        chosen[fold.test] = species_sets.choose(probabilities[fold.test], rule, k, cut)
    return chosen


def by_prevalence(
    surveys: HeldOutSurveys, species: Mapping[str, Mapping[str, np.ndarray]], min_positives: int
) -> list[dict[str, Any]]:
    """Mean scores by class of prevalence: bounds of the class, number of species, and score -> method -> value."""
    positives = np.count_nonzero(surveys.labels, axis=0)
    share = positives / len(surveys.labels)
    found = []
    for low, high in pairwise(PREVALENCE):
        chosen = (share > low) & (share <= high) & (positives >= min_positives)
        if chosen.any():
            means = {s: {m: number(np.nanmean(v[chosen])) for m, v in each.items()} for s, each in species.items()}
            found.append({"above": low, "to": high, "species": int(chosen.sum()), "values": means})
    return found


def calibration_by_prevalence(
    surveys: HeldOutSurveys, predictions: Mapping[str, np.ndarray], species: Mapping[str, Mapping[str, np.ndarray]]
) -> list[dict[str, Any]]:
    """Calibration of rare and of frequent species; empty for `relative` probabilities.

    All species are included, those without any survey in the rarest class: without them predictions would look too low
    there.

    Args:
        surveys: the surveys.
        predictions: method -> probabilities (N, S).
        species: score -> method -> (S,), with `calibration_error`.

    Returns:
        For each class of prevalence: its bounds, number of species, mean share of surveys with a species (`observed`),
        and by method the mean probability (`predicted`), their ratio and the mean expected calibration error.
    """
    if not has_levels(surveys.probability_kind):
        return []
    share = np.count_nonzero(surveys.labels, axis=0) / len(surveys.labels)
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


def cuts_by_fold(
    surveys: HeldOutSurveys, predictions: Mapping[str, np.ndarray], folds: Sequence[Fold]
) -> dict[str, np.ndarray]:
    """Thresholds with the highest TSS in the other folds, for each survey: method -> (N, S).

    NaN, which no probability reaches, where a species has none; empty for `relative` probabilities.
    """
    if not has_levels(surveys.probability_kind):
        return {}
    found = {method: np.full(each.shape, np.nan, np.float32) for method, each in predictions.items()}
    for fold, others in _folds_and_others(folds):
        for method, each in predictions.items():
            found[method][fold.test] = cuts(surveys.labels[others], each[others])["max_tss"]
    return found


def _folds_and_others(folds: Sequence[Fold]) -> list[tuple[Fold, np.ndarray]]:
    """Each fold with the test rows of all others; with its own if there is only one fold."""
    pairs = []
    for fold in folds:
        others = [each.test for each in folds if each is not fold]
        pairs.append((fold, np.concatenate(others) if others else fold.test))
    return pairs

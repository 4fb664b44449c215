"""Tables of an evaluation by species."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sdm_ray.evaluation.scores import HeldOutSurveys
from sdm_ray.metrics.calibration import PRESENCE_CUTS, cuts
from sdm_ray.metrics.probability_kind import has_levels


def species_table(
    surveys: HeldOutSurveys, scores: Mapping[str, Mapping[str, np.ndarray]], truth: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """One row for each species: its number of surveys, and each score by method.

    Args:
        surveys: the surveys.
        scores: score -> method -> (S,).
        truth: label of a map -> rank correlation with the truth, (S,).
    """
    columns: dict[str, Any] = {"species": surveys.species, "surveys": np.count_nonzero(surveys.labels, axis=0)}
    for metric, methods in scores.items():
        columns |= {f"{metric}: {method}": values for method, values in methods.items()}
    columns |= {f"spearman with truth: {label}": values for label, values in truth.items()}
    return pd.DataFrame(columns)


def threshold_table(surveys: HeldOutSurveys, probabilities: np.ndarray) -> pd.DataFrame:
    """One row for each species: its thresholds by name, from all held-out surveys, and the surveys that reach them.

    Relative suitabilities have only the thresholds that need no absences.
    """
    columns: dict[str, Any] = {"species": surveys.species, "surveys": np.count_nonzero(surveys.labels, axis=0)}
    for name, values in cuts(surveys.labels, probabilities).items():
        if has_levels(surveys.probability_kind) or name in PRESENCE_CUTS:
            columns[name] = values
            columns[f"surveys above {name}"] = np.count_nonzero(probabilities >= values, axis=0)
    return pd.DataFrame(columns)

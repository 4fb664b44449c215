"""Scores by region: within each country, and means over the surveys of each block."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sdm_ray.evaluation.scores import HeldOutSurveys, number
from sdm_ray.geo.blocks import Blocks
from sdm_ray.metrics.calibration import brier, tss
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.metrics.ranking import auc, average_precision

BySurvey = Mapping[str, Mapping[str, np.ndarray]]
"""Score -> method -> its value for each survey, (N,)."""
_COLUMNS = ("country", "surveys", "species")


def by_country(
    surveys: HeldOutSurveys,
    predictions: Mapping[str, np.ndarray],
    min_positives: int,
    cuts: Mapping[str, np.ndarray] | None = None,
    by_survey: BySurvey | None = None,
    leveled: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """One row for each country: its surveys, the species scored there, and scores among its own surveys.

    AUC, average precision and, unless probabilities are `relative`, Brier score and TSS are means over the species with
    at least `min_positives` surveys with and as many without them in the country. Scores of surveys are means over its
    surveys if there are at least `min_positives`. Other scores are blank.

    Args:
        surveys: the surveys.
        predictions: method -> (N, S).
        min_positives: fewest surveys for any score.
        cuts: method -> thresholds for TSS, (N, S).
        by_survey: scores of each survey.
        leveled: method -> (N, S), what the Brier score and TSS are of; by default the predictions.
    """
    if surveys.country is None:
        return pd.DataFrame(columns=_COLUMNS)
    rows = []
    for country in np.unique(surveys.country):
        here = np.flatnonzero(surveys.country == country)
        present = np.count_nonzero(surveys.labels[here], axis=0)
        species = np.flatnonzero((present >= min_positives) & (len(here) - present >= min_positives))
        pick, enough = np.ix_(here, species), len(here) >= min_positives
        row: dict[str, object] = dict(zip(_COLUMNS, (country, len(here), len(species)), strict=True))
        for score, by_species in _species_scores(
            surveys, (predictions, leveled or predictions), cuts or {}, pick
        ).items():
            row |= {f"{score}: {method}": _mean(each) for method, each in by_species.items()}
        for score, methods in (by_survey or {}).items():
            row |= {f"{score}: {method}": _mean(each[here]) if enough else np.nan for method, each in methods.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _species_scores(
    surveys: HeldOutSurveys,
    predictions: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]],
    cuts: Mapping[str, np.ndarray],
    pick: tuple[np.ndarray, ...],
) -> dict[str, dict[str, np.ndarray]]:
    """Score -> method -> (K,), of the K species and surveys that `pick` indexes; predictions are for rank and level."""
    labels, kind = surveys.labels[pick], surveys.probability_kind
    chosen, leveled = ({method: each[pick] for method, each in some.items()} for some in predictions)
    found = {
        "auc": {method: auc(labels, each) for method, each in chosen.items()},
        "average_precision": {method: average_precision(labels, each) for method, each in chosen.items()},
        "tss": {method: tss(labels, leveled[method], each[pick], kind) for method, each in cuts.items()},
    }
    if has_levels(kind):
        found["brier"] = {method: brier(labels, each, kind) for method, each in leveled.items()}
    return found


def within(table: pd.DataFrame) -> dict[str, float | None]:
    """AUC within countries by method: the mean over countries weighted by their numbers of surveys."""
    counted = table[table["species"] > 0]
    means = {
        name.removeprefix("auc: "): np.average(counted[name], weights=counted["surveys"]) if len(counted) else np.nan
        for name in table.columns.astype(str)
        if name.startswith("auc: ")
    }
    return {method: number(float(mean)) for method, mean in means.items()}


def by_block(surveys: HeldOutSurveys, values: Mapping[str, np.ndarray], blocks: Blocks) -> pd.DataFrame:
    """One row for each block: west and south edge (EPSG:3035 metres), number of surveys, and means of values (N,)."""
    _, first, index, count = np.unique(surveys.block, return_index=True, return_inverse=True, return_counts=True)
    west, south = (
        np.floor((edge[first] - origin) / blocks.size_m) * blocks.size_m + origin
        for edge, origin in zip((surveys.x, surveys.y), blocks.origin, strict=True)
    )
    means = {name: np.bincount(index, each) / count for name, each in values.items()}
    return pd.DataFrame({"west_m": west, "south_m": south, "surveys": count, **means})


def survey_errors(surveys: HeldOutSurveys, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of each survey, (N,): predicted minus observed richness, and the Brier score over its species."""
    error = probabilities - surveys.labels.astype(np.float32)
    return {"richness_error": error.sum(axis=1, dtype=np.float64), "brier": np.square(error).mean(axis=1)}


def _mean(values: np.ndarray) -> float:
    """Mean of the finite values."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")

"""Where a method succeeds and where it fails: scores inside each country, and means over the surveys of each block."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sdm_ray.evaluation.scores import Held, number
from sdm_ray.geo.blocks import Blocks
from sdm_ray.metrics.calibration import brier, tss
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.metrics.ranking import auc, average_precision

BySurvey = Mapping[str, Mapping[str, np.ndarray]]
"""Score -> method -> its value for each survey, (N,)."""
_COLUMNS = ("country", "surveys", "species")


def by_country(
    held: Held,
    predictions: Mapping[str, np.ndarray],
    min_positives: int,
    cuts: Mapping[str, np.ndarray] | None = None,
    surveys: BySurvey | None = None,
) -> pd.DataFrame:
    """One row a country: its surveys, the species that count there, and scores among its own surveys alone.

    AUC, average precision and, of probabilities that are not `relative`, Brier score and TSS are means over the species
    with at least `min_positives` surveys with and as many without them in the country, scores of surveys over its
    surveys if there are so many; else they are blank.

    Args:
        held: the surveys.
        predictions: method -> (N, S).
        min_positives: fewest surveys behind any score.
        cuts: method -> thresholds of TSS, (N, S).
        surveys: scores of the surveys.
    """
    if held.country is None:
        return pd.DataFrame(columns=_COLUMNS)
    rows = []
    for country in np.unique(held.country):
        here = np.flatnonzero(held.country == country)
        present = np.count_nonzero(held.labels[here], axis=0)
        species = np.flatnonzero((present >= min_positives) & (len(here) - present >= min_positives))
        pick, enough = np.ix_(here, species), len(here) >= min_positives
        row: dict[str, object] = dict(zip(_COLUMNS, (country, len(here), len(species)), strict=True))
        for score, by_species in _species_scores(held, predictions, cuts or {}, pick).items():
            row |= {f"{score}: {method}": _mean(each) for method, each in by_species.items()}
        for score, by_survey in (surveys or {}).items():
            row |= {f"{score}: {method}": _mean(each[here]) if enough else np.nan for method, each in by_survey.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _species_scores(
    held: Held, predictions: Mapping[str, np.ndarray], cuts: Mapping[str, np.ndarray], pick: tuple[np.ndarray, ...]
) -> dict[str, dict[str, np.ndarray]]:
    """Score -> method -> value of each of some species on some surveys."""
    labels, kind = held.labels[pick], held.probability_kind
    chosen = {method: each[pick] for method, each in predictions.items()}
    found = {
        "auc": {method: auc(labels, each) for method, each in chosen.items()},
        "average_precision": {method: average_precision(labels, each) for method, each in chosen.items()},
        "tss": {method: tss(labels, chosen[method], each[pick], kind) for method, each in cuts.items()},
    }
    if has_levels(kind):
        found["brier"] = {method: brier(labels, each, kind) for method, each in chosen.items()}
    return found


def within(table: pd.DataFrame) -> dict[str, float | None]:
    """AUC within countries by method: the mean over countries, weighted by their surveys."""
    counted = table[table["species"] > 0]
    means = {
        name.removeprefix("auc: "): np.average(counted[name], weights=counted["surveys"]) if len(counted) else np.nan
        for name in table.columns.astype(str)
        if name.startswith("auc: ")
    }
    return {method: number(float(mean)) for method, mean in means.items()}


def by_block(held: Held, values: Mapping[str, np.ndarray], blocks: Blocks) -> pd.DataFrame:
    """One row a block: west and south edge (EPSG:3035 metres), its surveys, and the mean of each of `values`, (N,)."""
    _, first, index, surveys = np.unique(held.block, return_index=True, return_inverse=True, return_counts=True)
    west, south = (
        np.floor((edge[first] - origin) / blocks.size_m) * blocks.size_m + origin
        for edge, origin in zip((held.x, held.y), blocks.origin, strict=True)
    )
    means = {name: np.bincount(index, each) / surveys for name, each in values.items()}
    return pd.DataFrame({"west_m": west, "south_m": south, "surveys": surveys, **means})


def survey_errors(held: Held, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """What is wrong at each survey: predicted minus observed richness, and the Brier score over its species, (N,)."""
    error = probabilities - held.labels.astype(np.float32)
    return {"richness_error": error.sum(axis=1, dtype=np.float64), "brier": np.square(error).mean(axis=1)}


def _mean(values: np.ndarray) -> float:
    """Of those that have a value."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")

"""Held-out surveys and their scores, as the plain dictionaries of `metrics.json`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdm_ray.metrics.block_bootstrap import Comparison, Interval, compare


@dataclass(frozen=True)
class HeldOutSurveys:
    """Surveys that predictions are scored on.

    Attributes:
        labels: (N, S) uint8.
        species: (S,) names.
        lon: (N,) degrees.
        lat: (N,) degrees.
        x: (N,) EPSG:3035 metres.
        y: (N,) EPSG:3035 metres.
        block: (N,) int64 block ids.
        country: (N,) names or codes; None where they are not known.
        probability_kind: `occurrence`, `recorded` or `relative` (see `metrics.probability_kind`).
    """

    labels: np.ndarray
    species: list[str]
    lon: np.ndarray
    lat: np.ndarray
    x: np.ndarray
    y: np.ndarray
    block: np.ndarray
    country: np.ndarray | None
    probability_kind: str

    def rows(self, chosen: np.ndarray) -> "HeldOutSurveys":
        """Some of the surveys, by mask or row numbers."""
        country = None if self.country is None else self.country[chosen]
        columns = {name: getattr(self, name)[chosen] for name in ("labels", "lon", "lat", "x", "y", "block")}
        return replace(self, **columns, country=country)


def score(
    surveys: HeldOutSurveys,
    predictions: Mapping[str, np.ndarray],
    block: np.ndarray,
    *,
    folds: np.ndarray | None = None,
    resamples: int,
    seed: int,
    min_positives: int,
) -> tuple[Comparison, dict[str, Any]]:
    """Macro scores and paired differences under one scheme of holding out.

    Args:
        surveys: the surveys.
        predictions: method -> (N, S).
        block: (N,) units of the bootstrap: blocks, or countries where whole countries were left out.
        folds: (N,) fold that holds out each survey, for means of scores within folds (see `block_bootstrap.compare`).
        resamples: number of resamples.
        seed: of the resamples.
        min_positives: fewest surveys with a species in the means.
    """
    found = compare(
        surveys.labels, predictions, block, folds=folds, resamples=resamples, seed=seed, min_positives=min_positives
    )
    figures = {
        "surveys": len(surveys.labels),
        "species_counted": found.counted,
        "species_left_out": found.left_out,
        "resampled": found.blocks,
        "values": {
            metric: {method: as_json(each) for method, each in methods.items()}
            for metric, methods in found.values.items()
        },
        "differences": {
            metric: [{"first": a, "second": b, **as_json(each)} for (a, b), each in pairs.items()]
            for metric, pairs in found.differences.items()
        },
    }
    return found, figures


def as_json(interval: Interval) -> dict[str, float | None]:
    """An interval as JSON, NaN as null."""
    return {name: number(getattr(interval, name)) for name in ("value", "low", "high")}


def number(value: float) -> float | None:
    """A number as JSON, NaN as null."""
    return float(value) if math.isfinite(value) else None

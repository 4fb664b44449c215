"""From labels and predictions to the figures of `metrics.json`: plain dictionaries, NaN as null."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdm_ray.metrics.block_bootstrap import Comparison, Interval, compare


@dataclass(frozen=True)
class Held:
    """The surveys that are scored.

    Attributes:
        labels: (N, S) uint8.
        species: (S,) names.
        lon: (N,) degrees.
        lat: (N,) degrees.
        x: (N,) EPSG:3035 metres.
        y: (N,) EPSG:3035 metres.
        block: (N,) int64 block ids.
        country: (N,) names or codes, or None where nothing says them.
        probability_kind: what the probabilities are of.
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

    def rows(self, chosen: np.ndarray) -> "Held":
        """Some of the surveys, by mask or number."""
        country = None if self.country is None else self.country[chosen]
        columns = {name: getattr(self, name)[chosen] for name in ("labels", "lon", "lat", "x", "y", "block")}
        return replace(self, **columns, country=country)


def score(
    held: Held,
    predictions: Mapping[str, np.ndarray],
    block: np.ndarray,
    *,
    folds: np.ndarray | None = None,
    resamples: int,
    seed: int,
    min_positives: int,
) -> tuple[Comparison, dict[str, Any]]:
    """Macro scores and paired differences on one way of holding out.

    Args:
        held: the surveys.
        predictions: method -> (N, S).
        block: (N,) what is drawn again: blocks, or countries where whole countries were left out.
        folds: (N,) fold that holds each survey out, for means over the folds' own scores (see `bootstrap.compare`).
        resamples: number of resamples.
        seed: of the resamples.
        min_positives: fewest positives of a species that counts.
    """
    found = compare(
        held.labels, predictions, block, folds=folds, resamples=resamples, seed=seed, min_positives=min_positives
    )
    figures = {
        "surveys": len(held.labels),
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
    """An interval for a JSON file."""
    return {name: number(getattr(interval, name)) for name in ("value", "low", "high")}


def number(value: float) -> float | None:
    """A float for a JSON file, which knows no NaN."""
    return float(value) if math.isfinite(value) else None

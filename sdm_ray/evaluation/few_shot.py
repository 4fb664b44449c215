"""How well ways to learn do with few occurrences: curves and paired differences over blocks and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.evaluation.scores import as_json
from sdm_ray.metrics.block_bootstrap import METRICS, around_value, as_interval, block_resamples, macro_of_columns
from sdm_ray.metrics.ranking import block_scores
from sdm_ray.plots import charts
from sdm_ray.plots.html import Picture, Section, Table

ALL = "all"
_NAMES = {"auc": "AUC", "average_precision": "average precision"}


@dataclass(frozen=True)
class Test:
    """What every way is tested on in one fold.

    Attributes:
        labels: of the fold's test surveys, (N, S) of 0 and 1.
        blocks: block id of each, (N,).
        counted: species that count, (S,) bool.
    """

    labels: np.ndarray
    blocks: np.ndarray
    counted: np.ndarray


def macro_scores(test: Test, predictions: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Macro AUC and average precision on the surveys and on resamples of their blocks, (2, 1 + resamples)."""
    position, weights = block_resamples(test.blocks, resamples, seed)
    each = block_scores(test.labels[:, test.counted], predictions[:, test.counted], position, weights)
    everyone = np.ones(int(test.counted.sum()), int)
    return np.stack([macro_of_columns(part, everyone, 1) for part in each])


def figures_of(found: Mapping[str, Mapping[str, np.ndarray]], seed: int) -> dict[str, Any]:
    """Means over seeds with intervals, and those of the first way minus each other one.

    A resample draws blocks, the same for every way, and seeds, the same for every way too.

    Args:
        found: way -> number of occurrences -> (seeds, folds, 2, 1 + resamples) macro scores.
        seed: of the draws of seeds.

    Returns:
        `values`: metric -> way -> occurrences -> interval, and `differences` likewise.
    """
    drawn = {way: {k: _over_seeds(scores, seed) for k, scores in each.items()} for way, each in found.items()}
    first = next(iter(drawn))
    values: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for number, metric in enumerate(METRICS):
        values[metric] = {
            way: {k: as_json(as_interval(scores[number])) for k, scores in each.items()} for way, each in drawn.items()
        }
        differences[metric] = {
            way: {k: as_json(as_interval(drawn[first][k][number] - scores[number])) for k, scores in each.items()}
            for way, each in drawn.items()
            if way != first
        }
    return {"first": first, "values": values, "differences": differences}


def _over_seeds(scores: np.ndarray, seed: int) -> np.ndarray:
    """(2, 1 + resamples): the mean over folds and seeds, then over folds and drawn seeds, moved to lie around it."""
    by_seed = scores.mean(axis=1)
    count, _, columns = by_seed.shape
    chosen = np.random.default_rng(seed).integers(0, count, (columns, count))
    chosen[0] = np.arange(count)
    draws = np.stack([by_seed[chosen[c], :, c].mean(axis=0) for c in range(columns)], axis=1)
    return np.stack([around_value(each) for each in draws])


def table(figures: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each way and number of occurrences."""
    rows = [
        {"metric": metric, "method": way, "occurrences": k, **interval}
        for metric, ways in figures["values"].items()
        for way, each in ways.items()
        for k, interval in each.items()
    ]
    return pd.DataFrame(rows)


def write_pictures(folder: UPath, figures: Mapping[str, Any]) -> list[UPath]:
    """The curve of each metric."""
    made = []
    for metric, ways in figures["values"].items():
        curves = {way: {k: _tuple(each) for k, each in values.items()} for way, values in ways.items()}
        path = folder / f"few-{metric}.png"
        path.write_bytes(charts.few_shot(curves, f"macro {_NAMES[metric]}, held-out blocks"))
        made.append(path)
    return made


def section(folder: UPath, figures: Mapping[str, Any]) -> Section:
    """The section of a page."""
    texts = [
        f"Macro scores of {figures['species_counted']} species on held-out blocks, means over"
        f" {figures['seeds']} seeds; 95 % intervals from {figures['resamples']} resamples of blocks and seeds, the"
        " same for every way. With few occurrences every way also knows the absences of the same"
        f" {figures['background']} surveys, and nothing else."
    ]
    if figures["transfer"]:
        common = figures.get("n_common_species", figures.get("rich"))  # as version 1 calls it
        texts.append(
            f"{', '.join(figures['transfer'])}: with few occurrences on an embedding that knows what all training"
            f" surveys say of the {common} commonest species, which count in no score, and nothing else."
        )
    tables = []
    for metric, ways in figures["values"].items():
        columns = list(next(iter(ways.values())))
        rows = [[way, *(_shown(each[k]) for k in columns)] for way, each in ways.items()]
        tables.append(Table(f"Macro {_NAMES[metric]} by occurrences of a species", ["", *columns], rows))
        rows = [[way, *(_shown(e[k], "+.3f") for k in columns)] for way, e in figures["differences"][metric].items()]
        if rows:
            title = f"{figures['first']} minus each other, {_NAMES[metric]}"
            tables.append(Table(title, ["", *columns], rows))
    names = [f"few-{metric}.png" for metric in figures["values"]]
    shown = [Picture("With few and with many labels", (folder / name).read_bytes()) for name in names]
    return Section("With few and with many labels", texts, tables, shown)


def headline(figures: Mapping[str, Any]) -> str:
    """One line that says the main figures."""
    ways = figures["values"]["auc"]
    columns = list(next(iter(ways.values())))
    ends = list(dict.fromkeys([columns[0], columns[-1]]))
    parts = [way + " " + ", ".join(f"{_tuple(each[k])[0]:.3f}" for k in ends) for way, each in ways.items()]
    return f"AUC with {' and '.join(ends)} occurrences: {'; '.join(parts)}"


def names_of(shots: Sequence[int | None]) -> list[str]:
    """How numbers of occurrences are called."""
    return [ALL if k is None else str(k) for k in shots]


def _tuple(each: Mapping[str, float | None]) -> tuple[float, float, float]:
    found = [np.nan if (value := each[key]) is None else value for key in ("value", "low", "high")]
    return found[0], found[1], found[2]


def _shown(each: Mapping[str, float | None], form: str = ".3f") -> str:
    value, low, high = _tuple(each)
    return f"{value:{form}} ({low:{form}} to {high:{form}})"

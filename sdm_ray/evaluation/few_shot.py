"""Scores by number of training occurrences: curves and paired differences, with intervals over blocks and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.evaluation.formatting import NAMES, interval
from sdm_ray.evaluation.scores import as_json
from sdm_ray.metrics.block_bootstrap import METRICS, around_value, as_interval, block_resamples, macro_of_columns
from sdm_ray.metrics.ranking import block_scores
from sdm_ray.plots import charts
from sdm_ray.plots.html import Picture, Section, Table

ALL = "all"


@dataclass(frozen=True)
class TestSet:
    """The test surveys of a fold, the same for every method.

    Attributes:
        labels: 0 or 1, (N, S).
        blocks: block id of each survey, (N,).
        counted: species that are scored, (S,) bool.
    """

    labels: np.ndarray
    blocks: np.ndarray
    counted: np.ndarray


def macro_scores(test: TestSet, predictions: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Macro AUC and average precision on the surveys and on resamples of their blocks, (2, 1 + resamples)."""
    position, weights = block_resamples(test.blocks, resamples, seed)
    each = block_scores(test.labels[:, test.counted], predictions[:, test.counted], position, weights)
    everyone = np.ones(int(test.counted.sum()), int)
    return np.stack([macro_of_columns(part, everyone, 1) for part in each])


def figures_of(found: Mapping[str, Mapping[str, np.ndarray]], seed: int) -> dict[str, Any]:
    """Means over seeds with intervals, and differences of the first method from each other one.

    A resample draws blocks and seeds, the same for every method.

    Args:
        found: method -> number of occurrences -> (seeds, folds, 2, 1 + resamples) macro scores.
        seed: of the draws of seeds.

    Returns:
        `values`: metric -> method -> occurrences -> interval, and `differences` likewise.
    """
    drawn = {method: {k: _over_seeds(scores, seed) for k, scores in each.items()} for method, each in found.items()}
    first = next(iter(drawn))
    values: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for number, metric in enumerate(METRICS):
        values[metric] = {
            method: {k: as_json(as_interval(scores[number])) for k, scores in each.items()}
            for method, each in drawn.items()
        }
        differences[metric] = {
            method: {k: as_json(as_interval(drawn[first][k][number] - scores[number])) for k, scores in each.items()}
            for method, each in drawn.items()
            if method != first
        }
    return {"first": first, "values": values, "differences": differences}


def _over_seeds(scores: np.ndarray, seed: int) -> np.ndarray:
    """Means over folds and seeds, and over folds and resampled seeds, (2, 1 + resamples), around the value."""
    by_seed = scores.mean(axis=1)
    count, _, columns = by_seed.shape
    chosen = np.random.default_rng(seed).integers(0, count, (columns, count))
    chosen[0] = np.arange(count)
    draws = np.stack([by_seed[chosen[c], :, c].mean(axis=0) for c in range(columns)], axis=1)
    return np.stack([around_value(each) for each in draws])


def table(figures: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each metric, method and number of occurrences."""
    rows = [
        {"metric": metric, "method": method, "occurrences": k, **each}
        for metric, methods in figures["values"].items()
        for method, by_count in methods.items()
        for k, each in by_count.items()
    ]
    return pd.DataFrame(rows)


def write_pictures(folder: UPath, figures: Mapping[str, Any]) -> list[UPath]:
    """Write a chart of each metric."""
    made = []
    for metric, methods in figures["values"].items():
        curves = {method: {k: _tuple(each) for k, each in values.items()} for method, values in methods.items()}
        path = folder / f"few-{metric}.png"
        path.write_bytes(charts.few_shot(curves, f"macro {NAMES[metric]} on held-out blocks"))
        made.append(path)
    return made


def section(folder: UPath, figures: Mapping[str, Any]) -> Section:
    """The section of a page, from the figures and the pictures."""
    texts = [
        f"Macro scores of {figures['species_counted']} species on held-out blocks, means over"
        f" {figures['seeds']} seeds; 95 % intervals from {figures['resamples']} resamples of blocks and seeds, the"
        " same for every method. With few occurrences the training data of every method are those presences and the"
        f" absences in the same {figures['background']} background surveys."
    ]
    if figures.get("tested_with"):
        texts.append(
            f"Tested: the {figures['surveys_tested']} surveys with an image of scale {figures['tested_with']}."
        )
    if seen := [method for method, each in figures.get("pretraining", {}).items() if each == "transductive"]:
        texts.append(f"Transductive: {', '.join(seen)}. What they start from had seen places that are tested.")
    if figures["transfer"]:
        common = figures.get("n_common_species", figures.get("rich"))  # its name in version 1
        texts.append(
            f"{', '.join(figures['transfer'])}: the embedding is trained on all training surveys of the {common}"
            " most common species, which are not scored; the few occurrences fit the species' heads on it."
        )
    tables = []
    for metric, methods in figures["values"].items():
        columns = list(next(iter(methods.values())))
        header = ["method", *columns]
        rows = [[method, *(interval(each[k]) for k in columns)] for method, each in methods.items()]
        tables.append(Table(f"Macro {NAMES[metric]} by number of occurrences [95 % interval]", header, rows))
        differences = figures["differences"][metric]
        rows = [[method, *(interval(each[k], "+.3f") for k in columns)] for method, each in differences.items()]
        if rows:
            title = f"Macro {NAMES[metric]}: {figures['first']} minus each other method [95 % interval]"
            tables.append(Table(title, header, rows))
    pictures = [
        Picture(
            f"Macro {NAMES[metric]} by number of training occurrences.", (folder / f"few-{metric}.png").read_bytes()
        )
        for metric in figures["values"]
    ]
    return Section("Scores by number of training occurrences", texts, tables, pictures)


def headline(figures: Mapping[str, Any]) -> str:
    """The main figures in one line; of two methods also their difference."""
    methods = figures["values"]["auc"]
    columns = list(next(iter(methods.values())))
    ends = list(dict.fromkeys([columns[0], columns[-1]]))
    parts = [method + " " + ", ".join(f"{_tuple(each[k])[0]:.3f}" for k in ends) for method, each in methods.items()]
    if len(methods) == 2:
        (apart,) = figures["differences"]["auc"].values()
        shown = ("{:+.3f} [{:+.3f}, {:+.3f}]".format(*_tuple(apart[k])) for k in ends)
        parts[0] += f" ({', '.join(shown)})"
    return f"AUC with {' and '.join(ends)} occurrences: {'; '.join(parts)}"


def names_of(shots: Sequence[int | None]) -> list[str]:
    """Names of numbers of occurrences."""
    return [ALL if k is None else str(k) for k in shots]


def _tuple(each: Mapping[str, float | None]) -> tuple[float, float, float]:
    found = [np.nan if (value := each[key]) is None else value for key in ("value", "low", "high")]
    return found[0], found[1], found[2]

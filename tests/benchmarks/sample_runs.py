"""Replays of survey designs on withheld surveys: which of them are made next, and how good a model of them is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import NearestNeighbors

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.geo.blocks import Blocks, fold
from sdm_ray.metrics.ranking import auc, average_precision
from sdm_ray.survey_design.choice import Candidates, Demand, Limits, choose, entropy

RIDGE = 0.01
CELLS = 2000  # most cells, and candidates, of a choice


@dataclass(frozen=True)
class Plots:
    """Real plots.

    Attributes:
        xy: metres, (N, 2).
        values: covariates, (N, C).
        labels: 0 and 1, (N, S).
    """

    xy: np.ndarray
    values: np.ndarray
    labels: np.ndarray


def swiss_alps(data: Path) -> Plots:
    """707 plots x 146 plants (of at least 40 plots) of the western Swiss Alps, with five topoclimatic covariates."""
    table = pd.read_csv(data / "swiss-alps-plots" / "Final_Coord_30Occ.txt", sep="\t")
    covariates = ["ddeg", "mind", "srad", "slp", "topo"]
    species = table.columns[table.columns.get_loc("topo") + 1 :]
    labels = table[species].to_numpy(int)
    common = labels.sum(axis=0) >= 40
    return Plots(table[["X", "Y"]].to_numpy(float), table[covariates].to_numpy(float), labels[:, common])


def netherlands(data: Path) -> Plots:
    """11,258 plots x 33 plants (of at least 100 plots) of the Netherlands, by place, land use and soil."""
    table = pd.read_parquet(data / "lmf-netherlands" / "plots.parquet")
    names = pd.read_csv(data / "lmf-netherlands" / "chosen_species.csv")
    species = [name for name in names.iloc[:, 0].tolist() if name in table]
    table = table.dropna(subset=[*species, "x", "y"])
    classes = pd.get_dummies(table[["bodemgebruik", "OMSCHRIJVI"]].astype(str))
    common = classes.loc[:, classes.sum() >= 50].to_numpy(float)
    xy = table[["x", "y"]].to_numpy(float)
    labels = (table[species].to_numpy() > 0).astype(int)
    return Plots(xy, np.column_stack([xy, common]), labels[:, labels.sum(axis=0) >= 100])


def predicted(plots: Plots, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Probabilities at plots of a logistic regression with linear and quadratic terms, fitted on other plots."""
    scaled = (plots.values - plots.values[rows].mean(0)) / np.maximum(plots.values[rows].std(0), 1e-9)
    terms = torch.from_numpy(np.column_stack([scaled, scaled**2])).float()
    labels = torch.from_numpy(plots.labels)
    matrix, bias = heads(terms[rows], labels[rows], ridge=(RIDGE,))
    share = labels[rows].float().mean(0).clamp(1e-3, 1 - 1e-3)
    logits = terms[at] @ matrix.T + bias + torch.logit(share)  # presences weighed as much as absences
    return torch.sigmoid(logits).numpy()


Design = Callable[[Plots, np.ndarray, np.ndarray, int, int], np.ndarray]
"""Plots, rows surveyed, rows that may be, how many to add, and a seed -> rows to survey next."""


def at_random(plots: Plots, surveyed: np.ndarray, pool: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, len(surveyed)]).permutation(pool)[:count]


def designed(uncertain: bool) -> Design:
    """The choice of `sdm-ray sample`, with cells weighted by the model's uncertainty or all alike."""

    def design(plots: Plots, surveyed: np.ndarray, pool: np.ndarray, count: int, seed: int) -> np.ndarray:
        numbers = np.random.default_rng([seed, count])
        scaled = (plots.values - plots.values[surveyed].mean(0)) / np.maximum(plots.values[surveyed].std(0), 1e-9)
        cells = np.sort(numbers.permutation(len(scaled))[:CELLS])  # all plots stand for the cells of the map
        offered = np.sort(numbers.permutation(pool)[:CELLS])
        distance, _ = NearestNeighbors(n_neighbors=1).fit(scaled[surveyed]).kneighbors(scaled[cells])
        weight = entropy(predicted(plots, surveyed, cells)) if uncertain else np.ones(len(cells))
        candidates = Candidates(scaled[offered], np.ones(len(offered)), plots.xy[offered])
        chosen = choose(candidates, Demand(scaled[cells], distance[:, 0], weight), Limits(count)).rows
        rest = np.setdiff1d(offered, offered[chosen])  # where every cell has a survey like it
        return np.append(offered[chosen], numbers.permutation(rest)[: count - len(chosen)])

    return design


def replay(plots: Plots, design: Design, steps: list[int], seed: int, block_m: float) -> np.ndarray:
    """Macro AUC and average precision on held-out blocks after each number of surveys, (steps, 2).

    A third of the blocks is held out; of the other plots the first `steps[0]` are drawn at random, alike for every
    design, and the design adds the rest step by step.
    """
    held_out = fold(*plots.xy.T, Blocks(size_m=block_m, folds=3, seed=seed)) == 0
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(~held_out))
    test = np.flatnonzero(held_out)
    counted = (plots.labels[test].sum(0) >= 10) & (plots.labels[rows].sum(0) >= 10)
    surveyed, pool = rows[: steps[0]], rows[steps[0] :]
    scores = []
    for number, count in enumerate(steps):
        if number:
            added = design(plots, surveyed, pool, count - len(surveyed), seed)
            surveyed, pool = np.append(surveyed, added), np.setdiff1d(pool, added)
        found = predicted(plots, surveyed, test)
        each = [score(plots.labels[test], found)[counted] for score in (auc, average_precision)]
        scores.append([float(np.nanmean(values)) for values in each])
    return np.array(scores)

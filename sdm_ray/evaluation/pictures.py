"""The pictures of an evaluation."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.evaluation.formatting import name_of
from sdm_ray.evaluation.scores import HeldOutSurveys
from sdm_ray.metrics.block_bootstrap import Comparison, Interval
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.plots import charts
from sdm_ray.plots import maps as map_plots

_SHOWN_INPUTS, _SHOWN_RESPONSES = 20, 6
CAPTIONS = {
    "differences.png": "Paired differences of macro AUC over the same resampled blocks, with 95 % intervals.",
    "species.png": "AUC of each species, all held-out blocks pooled.",
    "reliability.png": "Reliability diagram: mean predicted probability and observed frequency of presence in bins of"
    " equal numbers of predictions, all species pooled.",
    "importance.png": "Permutation importance: decrease of macro AUC if an input is permuted between surveys, with 95 %"
    " intervals.",
    "responses.png": "Partial dependence: mean probability with one covariate set to a value; bands span the fold"
    " models.",
    "errors.png": "Mean of predicted minus observed species richness of the surveys in each block.",
    "f1.png": "Mean F1 of the sets of species of the surveys in each block.",
}
"""File name -> caption, in the order of a page."""
HALF_WIDTH = {"errors.png", "f1.png"}
"""Pictures that a page shows side by side."""


def write_pictures(
    folder: UPath,
    surveys: HeldOutSurveys,
    predictions: Mapping[str, np.ndarray],
    comparison: Comparison,
    blocks: pd.DataFrame | None,
    size_m: float,
) -> list[UPath]:
    """Write the pictures of the scores; maps of errors are those of the first method.

    Args:
        folder: where they are written.
        surveys: the surveys.
        predictions: method -> (N, S).
        comparison: scores of the methods.
        blocks: table of `regions.by_block` for the first method; None for `relative` probabilities.
        size_m: side of a block, metres.
    """
    main = next(iter(predictions))
    made: dict[str, bytes] = {}
    pairs = comparison.differences["auc"].items()
    rows = {f"{a} minus {b}": (each.value, each.low, each.high) for (a, b), each in pairs if a == main}
    if rows:
        title = "Paired differences on held-out blocks, 95 % intervals"
        made["differences.png"] = charts.intervals(rows, title, "difference of macro AUC")
    title = "AUC by species on held-out blocks"
    made["species.png"] = charts.bars(comparison.species["auc"], surveys.species, title, "AUC")
    if has_levels(surveys.probability_kind):
        made["reliability.png"] = charts.reliability(predictions, surveys.labels, "Reliability on held-out blocks")
    if blocks is not None:
        made |= _error_maps(main, blocks, size_m)
    for name, png in made.items():
        (folder / name).write_bytes(png)
    return [folder / name for name in made]


def _error_maps(method: str, blocks: pd.DataFrame, size_m: float) -> dict[str, bytes]:
    """Maps of the errors of a method by block."""
    corners = blocks["west_m"].to_numpy(), blocks["south_m"].to_numpy()
    title, unit = f"{method}: error of richness", "predicted minus observed (species per survey)"
    richness = blocks["richness_error"].to_numpy()
    made = {"errors.png": map_plots.block_picture(*corners, richness, size_m, title, unit, signed=True)}
    if scores := [str(name) for name in blocks if str(name).startswith("f1")]:
        values = blocks[scores[0]].to_numpy()
        title = f"{method}: {name_of(scores[0])}"
        made["f1.png"] = map_plots.block_picture(
            *corners, values, size_m, title, "mean F1 of a survey's set of species"
        )
    return made


def write_explanation(
    folder: UPath, surveys: HeldOutSurveys, drops: Mapping[str, Interval], curves: pd.DataFrame
) -> None:
    """Write pictures of permutation importance, and of response curves of the most frequent species.

    Args:
        folder: where they are written.
        surveys: the surveys.
        drops: input -> decrease of macro AUC, the most important one first.
        curves: table of `explain.responses`.
    """
    rows = {name: (each.value, each.low, each.high) for name, each in list(drops.items())[:_SHOWN_INPUTS]}
    title = "Permutation importance on held-out blocks"
    (folder / "importance.png").write_bytes(charts.intervals(rows, title, "decrease of macro AUC"))
    if len(curves):
        order = np.argsort(-surveys.labels.sum(axis=0, dtype=int))
        frequent = [surveys.species[i] for i in order[:_SHOWN_RESPONSES]]
        covariates = [name for name in drops if name in set(curves["covariate"])][:_SHOWN_RESPONSES]
        covariates = covariates or curves["covariate"].unique()[:_SHOWN_RESPONSES].tolist()
        (folder / "responses.png").write_bytes(charts.responses(curves, covariates, frequent))

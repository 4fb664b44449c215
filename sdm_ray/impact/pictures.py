"""Pictures of a question: balance, overlap, effect by year, placebos, and where the units lie."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sdm_ray.impact.balance import UNBALANCED
from sdm_ray.impact.matching import Matches
from sdm_ray.impact.study import Floats, Study
from sdm_ray.plots.figures import COLOURS, new_figure, png

_TREATED, _CONTROL, _GREY = COLOURS[5], COLOURS[0], "#bbbbbb"
_MOST_COVARIATES = 40  # in the love plot: the worst before matching


def love_plot(table: pd.DataFrame) -> bytes:
    """Standardised mean differences before and after matching, the largest at the top."""
    rows = table[np.isfinite(table["smd_before"])]
    rows = rows.reindex(rows["smd_before"].abs().sort_values().index).tail(_MOST_COVARIATES)
    figure = new_figure(7.2, 1.5 + 0.24 * len(rows))
    axis = figure.subplots()
    places = np.arange(len(rows))
    axis.axvspan(-UNBALANCED, UNBALANCED, color="#eef4f8", zorder=0)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.hlines(places, rows["smd_before"], rows["smd"], color="#cccccc", linewidth=1.2, zorder=1)
    axis.scatter(rows["smd_before"], places, facecolor="white", edgecolor=_TREATED, label="all controls", zorder=2)
    axis.scatter(rows["smd"], places, color=_CONTROL, label="matched controls", zorder=3)
    names = [name if on else f"{name} *" for name, on in zip(rows["covariate"], rows["matched_on"], strict=True)]
    axis.set_yticks(places, names, fontsize=8)
    axis.set(xlabel="standardised mean difference, treated less controls (* not matched on)", ylim=(-1, len(rows)))
    figure.suptitle("Balance of covariates", fontweight="bold")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2, fontsize=8)
    return png(figure)


def overlap(study: Study, matches: Matches) -> bytes:
    """Propensity scores of treated units, all controls and matched controls."""
    figure = new_figure(5.0, 3.2)
    axis = figure.subplots()
    edges = np.linspace(float(np.min(matches.logit)), float(np.max(matches.logit)), 31)
    if edges[0] == edges[-1]:
        edges = np.linspace(edges[0] - 1, edges[0] + 1, 31)
    kinds: list[tuple[str, Floats, str]] = [
        ("treated", study.treated.astype(float), _TREATED),
        ("all controls", (~study.treated).astype(float), _GREY),
        ("matched controls", matches.control_weights(len(study.ids)), _CONTROL),
    ]
    for name, weight, colour in kinds:
        shares = weight / max(weight.sum(), 1)
        axis.hist(
            matches.logit, edges.tolist(), weights=shares, histtype="step", color=colour, linewidth=1.6, label=name
        )
    axis.set(xlabel="logit of the propensity score", ylabel="share of units")
    axis.legend(frameon=False, fontsize=8)
    axis.grid(alpha=0.3)
    return png(figure)


def event_plot(table: pd.DataFrame, unit: str) -> bytes:
    """Effect by years since treatment, with the interval of each and the band that holds all of them."""
    figure = new_figure(7.2, 3.6)
    axis = figure.subplots()
    axis.fill_between(
        table["years_since"], table["band_low"], table["band_high"], color=COLOURS[0], alpha=0.12, linewidth=0
    )
    axis.vlines(table["years_since"], table["low"], table["high"], color=COLOURS[0], linewidth=1.5)
    axis.plot(table["years_since"], table["effect"], "o-", color=COLOURS[0], markersize=4, linewidth=1)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.axvline(-0.5, color=_TREATED, linestyle="--", linewidth=1)
    axis.set(xlabel="years since treatment", ylabel=unit)
    axis.grid(alpha=0.3)
    return png(figure)


def placebo_plot(table: pd.DataFrame, real: tuple[float, float, float], unit: str) -> bytes:
    """Effects of placebo tests with their intervals, sorted within each test, and the real effect."""
    rows = table.sort_values(["test", "effect"], kind="stable")
    figure = new_figure(7.2, 3.4)
    axis = figure.subplots()
    places = np.arange(len(rows))
    for number, name in enumerate(rows["test"].unique()):
        own = (rows["test"] == name).to_numpy()
        colour = COLOURS[(number + 1) % len(COLOURS)]
        axis.vlines(places[own], rows["low"][own], rows["high"][own], color=colour, linewidth=1.5)
        axis.plot(places[own], rows["effect"][own], "o", color=colour, markersize=3, label=name)
    value, low, high = real
    axis.vlines(len(rows) + 1, low, high, color=COLOURS[0], linewidth=3)
    axis.plot(len(rows) + 1, value, "o", color=COLOURS[0], markersize=7, label="the effect")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks([])
    axis.set(ylabel=unit)
    axis.grid(axis="y", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4, fontsize=8)
    return png(figure)


def unit_map(study: Study, matches: Matches, others: tuple[Floats, Floats]) -> bytes:
    """Where matched and unmatched units lie, and lines between the pairs."""
    figure = new_figure(6.8, 6.2)
    axis = figure.subplots()
    if len(others[0]):
        axis.scatter(others[0] / 1000, others[1] / 1000, s=2, color="#dddddd", label="not used", linewidth=0)
    used = np.zeros(len(study.ids), bool)
    used[matches.control] = True
    unmatched = np.zeros(len(study.ids), bool)
    unmatched[matches.unmatched] = True
    kinds: Mapping[str, tuple[np.ndarray, str, int]] = {
        "control, not matched": (~study.treated & ~used, _GREY, 4),
        "treated, without control": (unmatched, COLOURS[1], 14),
        "control, matched": (used, _CONTROL, 10),
        "treated, matched": (study.treated & ~unmatched, _TREATED, 10),
    }
    ends = np.stack([[study.x[each], study.y[each]] for each in (matches.treated, matches.control)]) / 1000
    axis.plot(ends[:, 0], ends[:, 1], color="#888888", linewidth=0.4, alpha=0.5)
    for name, (which, colour, size) in kinds.items():
        if which.any():
            axis.scatter(study.x[which] / 1000, study.y[which] / 1000, s=size, color=colour, label=name, linewidth=0)
    axis.set(aspect="equal", xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3, fontsize=8, markerscale=2)
    return png(figure)

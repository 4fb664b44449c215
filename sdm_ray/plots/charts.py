"""Curves, bars and intervals as PNG bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from sdm_ray.plots.figures import COLOURS, new_figure, panels, png


def curves(history: Sequence[Mapping[str, float]], title: str) -> bytes:
    """Learning curves: a panel for each metric; `train/loss` and `validation/loss` share the panel `loss`.

    Args:
        history: metrics of each epoch; an epoch may lack some.
        title: of the figure.
    """
    shown: dict[str, list[str]] = {}
    for name in dict.fromkeys(key for row in history for key in row):
        shown.setdefault(name.rpartition("/")[2], []).append(name)
    figure, axes = panels(len(shown), width=3.6, height=2.6, columns=3)
    for axis, (panel, names) in zip(axes, shown.items(), strict=True):
        for number, name in enumerate(names):
            points = [(epoch, row[name]) for epoch, row in enumerate(history, 1) if row.get(name) is not None]
            marked = len(points) <= 30
            axis.plot(
                *zip(*points, strict=True),
                color=COLOURS[number % len(COLOURS)],
                marker="o" if marked else None,
                markersize=3,
                linewidth=1.5,
                label=name.rpartition("/")[0],
            )
        axis.set(title=panel.replace("_", " "), xlabel="epoch")
        axis.set_xlim(0.5, len(history) + 0.5)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(frameon=False)
    figure.suptitle(title, fontweight="bold")
    return png(figure)


def bars(values: Mapping[str, np.ndarray], names: Sequence[str], title: str, unit: str) -> bytes:
    """A score of each species by method, as dots; species are sorted by the first method's score.

    Args:
        values: method -> (S,), NaN where not defined.
        names: (S,) names of the species.
        title: of the figure.
        unit: label of the axis.
    """
    first = np.nan_to_num(next(iter(values.values())), nan=-np.inf)
    order = np.argsort(first, kind="stable")
    figure = new_figure(7.2, 1.2 + 0.17 * max(len(names), 6))
    axis = figure.subplots()
    places = np.arange(len(names))
    every = np.array(list(values.values()))[:, order]
    shown = np.isfinite(every).any(axis=0)
    low, high = np.nanmin(every[:, shown], axis=0), np.nanmax(every[:, shown], axis=0)
    axis.hlines(places[shown], low, high, color="#cccccc", linewidth=1.5, zorder=1)
    for number, (method, each) in enumerate(values.items()):
        size, above = (26, 3) if number == 0 else (14, 2)
        colour = COLOURS[number % len(COLOURS)]
        axis.scatter(each[order], places, s=size, zorder=above, color=colour, label=method)
    axis.set_yticks(places, [names[i] for i in order], fontsize=7, fontstyle="italic")
    axis.set(xlabel=unit, ylim=(-1, len(names)))
    figure.suptitle(title, fontweight="bold")  # wider than the axis
    axis.grid(axis="x", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return png(figure)


def intervals(rows: Mapping[str, tuple[float, float, float]], title: str, unit: str) -> bytes:
    """Values with their intervals, one row for each label; a dotted line marks zero for differences.

    Args:
        rows: label -> (value, low, high).
        title: of the figure.
        unit: label of the axis.
    """
    figure = new_figure(7.2, 1.1 + 0.32 * len(rows))
    axis = figure.subplots()
    for place, (value, low, high) in enumerate(rows.values()):
        axis.hlines(-place, low, high, color=COLOURS[0], linewidth=2)
        axis.plot(value, -place, "o", color=COLOURS[0])
    if min(low for _, low, _ in rows.values()) < 0 or unit.startswith("difference"):
        axis.axvline(0, color="black", linestyle=":", linewidth=1)
    axis.set_yticks([-place for place in range(len(rows))], list(rows))
    axis.set(xlabel=unit, ylim=(-len(rows) + 0.4, 0.6))
    figure.suptitle(title, fontweight="bold")  # wider than the axis
    axis.grid(axis="x", alpha=0.3)
    return png(figure)


def reliability(probabilities: Mapping[str, np.ndarray], labels: np.ndarray, title: str, bins: int = 15) -> bytes:
    """Reliability diagram on logarithmic axes: observed frequency of presence by predicted probability.

    Most species are absent from most surveys, so that linear axes would show nearly all data in one corner. Bins hold
    equal numbers of predictions; a bin without presences is not drawn.

    Args:
        probabilities: method -> (N, S).
        labels: (N, S) of 0 and 1.
        title: of the figure.
        bins: number of bins.
    """
    figure = new_figure(5.2, 5.0)
    axis = figure.subplots()
    drawn_values: list[float] = []
    for number, (method, each) in enumerate(probabilities.items()):
        predicted, observed = reliability_bins(each, labels, bins)
        drawn = (predicted > 0) & (observed > 0)
        drawn_values += [*predicted[drawn], *observed[drawn]]
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(predicted[drawn], observed[drawn], "o-", color=colour, label=method, markersize=4)
    low = min([*drawn_values, 0.1]) / 1.5
    axis.plot([low, 1], [low, 1], color="black", linestyle=":", linewidth=1, label="perfect calibration")
    axis.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1), aspect="equal")
    axis.set(xlabel="mean predicted probability", ylabel="observed frequency of presence")
    axis.set_title(title, fontweight="bold")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return png(figure)


def reliability_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction and frequency of presence, (bins,) each, in bins of equal numbers of predictions."""
    groups = np.array_split(np.argsort(probabilities, axis=None, kind="stable"), bins)
    pairs = [(probabilities.ravel()[group].mean(), labels.ravel()[group].mean()) for group in groups if len(group)]
    predicted, observed = np.array(pairs, np.float64).T
    return predicted, observed


def responses(curves: pd.DataFrame, covariates: Sequence[str], species: Sequence[str]) -> bytes:
    """Response curves: a panel for each covariate, a line for each species with the range over fold models.

    Args:
        curves: columns `covariate, value, species, mean, low, high`.
        covariates: those shown.
        species: those shown.
    """
    figure, axes = panels(len(covariates), width=3.4, height=2.6, columns=3)
    for axis, covariate in zip(axes, covariates, strict=True):
        for number, name in enumerate(species):
            rows = curves[(curves["covariate"] == covariate) & (curves["species"] == name)]
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(rows["value"], rows["mean"], color=colour, linewidth=1.5, label=name)
            axis.fill_between(rows["value"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        axis.set(title=covariate.replace("_", " "), ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("mean probability")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return png(figure)


def few_shot(methods: Mapping[str, Mapping[str, tuple[float, float, float]]], unit: str) -> bytes:
    """A score by number of training occurrences: a line for each method, with intervals.

    Args:
        methods: method -> number of occurrences -> (value, low, high).
        unit: label of the axis.
    """
    figure = new_figure(7.2, 4.6)
    axis = figure.subplots()
    columns = list(next(iter(methods.values())))
    for number, (method, each) in enumerate(methods.items()):
        value, low, high = np.array([each[k] for k in columns]).T
        place = np.arange(len(columns)) + 0.05 * (
            number - (len(methods) - 1) / 2
        )  # side by side, so that no bar hides another
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(place, value, "o-", color=colour, markersize=4, linewidth=1.5, label=method)
        axis.vlines(place, low, high, color=colour, linewidth=1)
    axis.set_xticks(range(len(columns)), columns)
    axis.set(xlabel="training occurrences of each species", ylabel=unit)
    axis.grid(alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return png(figure)

"""Curves, maps and bars as PNG bytes. One style: sea in light grey, viridis, units on every colour bar."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

Extent = tuple[float, float, float, float]  # west, south, east, north in metres of EPSG:3035

_SEA = "#e8e8e8"
# Okabe and Ito's colours, which colour-blind readers tell apart
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#000000")


def curves(history: Sequence[Mapping[str, float]], title: str) -> bytes:
    """Training curves: a panel for each figure; `train/loss` and `select/loss` share the panel `loss`.

    Args:
        history: one row of figures for each epoch; a row may lack some.
        title: above all panels.
    """
    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(key for row in history for key in row):
        panels.setdefault(name.rpartition("/")[2], []).append(name)
    figure, axes = _panels(len(panels), width=3.6, height=2.6, columns=3)
    for axis, (panel, names) in zip(axes, panels.items(), strict=True):
        for number, name in enumerate(names):
            points = [(epoch, row[name]) for epoch, row in enumerate(history, 1) if row.get(name) is not None]
            few = len(points) <= 30
            axis.plot(
                *zip(*points, strict=True),
                color=COLOURS[number % len(COLOURS)],
                marker="o" if few else None,
                markersize=3,
                linewidth=1.5,
                label=name.rpartition("/")[0],
            )
        axis.set(title=panel.replace("_", " "), xlabel="epoch")
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(frameon=False)
    figure.suptitle(title, fontweight="bold")
    return _png(figure)


def map_picture(
    values: np.ndarray,
    title: str,
    unit: str,
    *,
    extent: Extent | None = None,
    limits: tuple[float, float] | None = None,
) -> bytes:
    """One map.

    Args:
        values: (h, w), north up, NaN at sea.
        title: above it.
        unit: on the colour bar.
        extent: outer bounds in metres, for axes in kilometres.
        limits: of the colour scale; by default the data's 1st and 99th percentile.
    """
    height, width = values.shape
    figure = _figure(6.4, 6.4 * min(max(height / width, 0.4), 1.6))
    axis = figure.subplots()
    _draw_map(figure, axis, values, unit, limits or _limits([values]), extent)
    axis.set_title(title, fontweight="bold")
    return _png(figure)


def colour_map_picture(colours: np.ndarray, title: str, extent: Extent) -> bytes:
    """One map of colours (h, w, 3) between 0 and 1, north up; `extent` in metres."""
    height, width = colours.shape[:2]
    figure = _figure(6.4, 6.4 * min(max(height / width, 0.4), 1.6))
    axis = figure.subplots()
    west, south, east, north = (edge / 1000 for edge in extent)
    axis.imshow(colours, extent=(west, east, south, north), interpolation="nearest", aspect="equal")
    axis.set(xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    axis.set_title(title, fontsize=10, fontweight="bold")
    return _png(figure)


def maps_beside(
    columns: Mapping[str, np.ndarray],
    names: Sequence[str],
    unit: str,
    *,
    extent: Extent | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """Species maps side by side, for each species one map a source, all in the colour scale of that species.

    Args:
        columns: label -> (S, h, w), NaN at sea; the truth first where there is one.
        names: (S,) names of the species.
        unit: on the colour bars.
        extent: outer bounds in metres.
        captions: label -> (S,) what to write under a map, such as its rank correlation with the truth.
    """
    count = len(columns)
    across = min(max(1, 4 // count), len(names))  # species in one row of the picture
    down = -(-len(names) // across)
    first = next(iter(columns.values()))
    aspect = min(max(first.shape[1] / first.shape[2], 0.3), 1.8)
    figure = _figure((2.9 * count + 0.9) * across, (2.9 * aspect + 0.45) * down + 0.3)
    axes = figure.subplots(down, across * count, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for number, name in enumerate(names):
        row, start = number // across, number % across * count
        group = list(axes[row, start : start + count])
        limits = _limits([values[number] for values in columns.values()])
        image = None
        for axis, (label, values) in zip(group, columns.items(), strict=True):
            axis.set_visible(True)
            image = _draw_map(None, axis, values[number], unit, limits, extent, ticks=False)
            axis.set_title(label, fontsize=10)
            if captions and label in captions:
                axis.set_xlabel(captions[label][number], fontsize=8)
        group[0].set_ylabel(name, fontstyle="italic", fontsize=9)
        if image is not None:
            figure.colorbar(image, ax=group, label=unit, shrink=0.85, pad=0.02)
    return _png(figure)


def bars(values: Mapping[str, np.ndarray], names: Sequence[str], title: str, unit: str) -> bytes:
    """A score of each species for several methods: a dot a method, species in the order of the first method.

    Args:
        values: method -> (S,), NaN where not defined.
        names: (S,) names of the species.
        title: above it.
        unit: name of the score, on its axis.
    """
    first = np.nan_to_num(next(iter(values.values())), nan=-np.inf)
    order = np.argsort(first, kind="stable")
    figure = _figure(7.2, 1.2 + 0.17 * max(len(names), 6))
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
    axis.set_title(title, fontweight="bold")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3, fontsize=8)
    return _png(figure)


def intervals(rows: Mapping[str, tuple[float, float, float]], title: str, unit: str) -> bytes:
    """Values with their intervals, one line a method; a dotted line marks zero for differences.

    Args:
        rows: label -> (value, low, high).
        title: above it.
        unit: on the axis.
    """
    figure = _figure(7.2, 1.1 + 0.32 * len(rows))
    axis = figure.subplots()
    for place, (value, low, high) in enumerate(rows.values()):
        axis.hlines(-place, low, high, color=COLOURS[0], linewidth=2)
        axis.plot(value, -place, "o", color=COLOURS[0])
    if min(low for _, low, _ in rows.values()) < 0 or unit.startswith("difference"):
        axis.axvline(0, color="black", linestyle=":", linewidth=1)
    axis.set_yticks([-place for place in range(len(rows))], list(rows))
    axis.set(xlabel=unit, ylim=(-len(rows) + 0.4, 0.6))
    axis.set_title(title, fontweight="bold")
    axis.grid(axis="x", alpha=0.3)
    return _png(figure)


def reliability(probabilities: Mapping[str, np.ndarray], labels: np.ndarray, title: str, bins: int = 15) -> bytes:
    """Reliability: what share was present where a probability was predicted, on logarithmic axes.

    Most species are absent from most surveys, so linear axes would hide nearly all the data in one corner.
    Bins hold equal numbers of predictions; a bin without any presence is not drawn.

    Args:
        probabilities: method -> (N, S).
        labels: (N, S) of 0 and 1.
        title: above it.
        bins: how many bins.
    """
    figure = _figure(5.2, 5.0)
    axis = figure.subplots()
    seen: list[float] = []
    for number, (method, each) in enumerate(probabilities.items()):
        predicted, observed = reliability_bins(each, labels, bins)
        drawn = (predicted > 0) & (observed > 0)
        seen += [*predicted[drawn], *observed[drawn]]
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(predicted[drawn], observed[drawn], "o-", color=colour, label=method, markersize=4)
    low = min([*seen, 0.1]) / 1.5
    axis.plot([low, 1], [low, 1], color="black", linestyle=":", linewidth=1, label="perfect")
    axis.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1), aspect="equal")
    axis.set(xlabel="predicted probability", ylabel="share of surveys with the species")
    axis.set_title(title, fontweight="bold")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return _png(figure)


def reliability_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction and share of presences (bins,) in bins of equally many predictions."""
    groups = np.array_split(np.argsort(probabilities, axis=None, kind="stable"), bins)
    pairs = [(probabilities.ravel()[group].mean(), labels.ravel()[group].mean()) for group in groups if len(group)]
    predicted, observed = np.array(pairs, np.float64).T
    return predicted, observed


def block_picture(x: np.ndarray, y: np.ndarray, values: np.ndarray, size_m: float, title: str, unit: str) -> bytes:
    """Where a model errs: a square a block, coloured around zero (purple too high, orange too low).

    Args:
        x: (B,) west edges in metres.
        y: (B,) south edges in metres.
        values: (B,) signed values.
        size_m: side of a block.
        title: above it.
        unit: on the colour bar.
    """
    reach = float(np.nanpercentile(np.abs(values), 98)) or 1.0
    side = size_m / 1000
    squares = [Rectangle((east, north), side, side) for east, north in zip(x / 1000, y / 1000, strict=True)]
    figure = _figure(6.6, 6.0)
    axis = figure.subplots()
    norm = TwoSlopeNorm(0, -reach, reach)
    drawn = PatchCollection(squares, cmap="PuOr", norm=norm, edgecolor="white", linewidth=0.4)
    drawn.set_array(values)
    axis.add_collection(drawn)
    axis.set_facecolor(_SEA)
    axis.autoscale_view()
    axis.set(aspect="equal", xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    axis.set_title(title, fontweight="bold")
    figure.colorbar(drawn, ax=axis, label=unit, shrink=0.8, extend="both")
    return _png(figure)


def _draw_map(
    figure: Figure | None,
    axis: Axes,
    values: np.ndarray,
    unit: str,
    limits: tuple[float, float],
    extent: Extent | None,
    *,
    ticks: bool = True,
) -> AxesImage:
    """Draw, with a colour bar of its own where a figure is given."""
    colours = colormaps["viridis"].with_extremes(bad=_SEA)
    place = None
    if extent:
        west, south, east, north = (edge / 1000 for edge in extent)
        place = (west, east, south, north)
    norm = Normalize(*limits)
    shown = np.ma.masked_invalid(values)
    image = axis.imshow(shown, cmap=colours, norm=norm, extent=place, interpolation="nearest", aspect="equal")
    if not ticks or not extent:
        axis.set_xticks([])
        axis.set_yticks([])
    else:
        axis.set(xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    if figure is not None:
        figure.colorbar(image, ax=axis, label=unit, shrink=0.85, pad=0.02)
    return image


def _limits(maps: Sequence[np.ndarray]) -> tuple[float, float]:
    """1st to 99th percentile of all finite values, so that a few extremes do not wash a map out."""
    known = np.concatenate([values[np.isfinite(values)] for values in maps])
    if not len(known):
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(known, [1, 99]))
    return (low, high) if high > low else (low, low + 1)


def _panels(count: int, *, width: float, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    across = min(max(count, 1), columns)
    down = -(-max(count, 1) // across)
    figure = _figure(width * across, height * down + 0.4)
    axes = list(np.ravel(figure.subplots(down, across, squeeze=False)))
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()

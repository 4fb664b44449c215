"""Maps as PNG bytes: viridis, no data in light grey, a unit on every colour bar."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle

from sdm_ray.geo.grid import Extent
from sdm_ray.plots.figures import COLOURS, new_figure, png

_NO_DATA = "#e8e8e8"


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
        values: (h, w), north up, NaN where there is no value.
        title: of the map.
        unit: label of the colour bar.
        extent: west, south, east, north in EPSG:3035 metres, for axes in kilometres.
        limits: of the colour scale; by default the 1st and 99th percentile of the values.
    """
    height, width = values.shape
    figure = new_figure(6.4, 6.4 * min(max(height / width, 0.4), 1.6))
    axis = figure.subplots()
    _draw_map(figure, axis, values, unit, limits or _limits([values]), extent)
    axis.set_title(title, fontweight="bold")
    return png(figure)


def class_map_picture(
    values: np.ndarray, classes: Mapping[float, str], title: str, *, extent: Extent | None = None
) -> bytes:
    """One map of classes, with a legend of those that occur.

    Args:
        values: (h, w), north up, NaN where there is no value.
        classes: value -> name.
        title: of the map.
        extent: west, south, east, north in EPSG:3035 metres, for axes in kilometres.
    """
    height, width = values.shape
    figure = new_figure(6.4, 6.4 * min(max(height / width, 0.4), 1.6) + 0.4)
    axis = figure.subplots()
    shown = [value for value in classes if (values == value).any()]
    numbers = np.full(values.shape, np.nan)
    for number, value in enumerate(shown):
        numbers[values == value] = number
    colours = ListedColormap([COLOURS[number % len(COLOURS)] for number in range(max(1, len(shown)))], "classes")
    limits = (-0.5, max(1, len(shown)) - 0.5)
    _draw_map(None, axis, numbers, "", limits, extent, colours=colours, ticks=extent is not None)
    handles = [Patch(color=colours(number), label=classes[value]) for number, value in enumerate(shown)]
    figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=2, fontsize=8)
    axis.set_title(title, fontweight="bold")
    return png(figure)


def colour_map_picture(colours: np.ndarray, title: str, extent: Extent) -> bytes:
    """One map of RGB colours.

    Args:
        colours: between 0 and 1, north up, (h, w, 3).
        title: of the map.
        extent: west, south, east, north in EPSG:3035 metres.
    """
    height, width = colours.shape[:2]
    figure = new_figure(6.4, 6.4 * min(max(height / width, 0.4), 1.6))
    axis = figure.subplots()
    west, south, east, north = (edge / 1000 for edge in extent)
    axis.imshow(colours, extent=(west, east, south, north), interpolation="nearest", aspect="equal")
    axis.set(xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    axis.set_title(title, fontsize=10, fontweight="bold")
    return png(figure)


def map_grid(
    columns: Mapping[str, np.ndarray],
    names: Sequence[str],
    unit: str,
    *,
    extent: Extent | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """Maps of several species, for each one map by source, with one colour scale for each species.

    Args:
        columns: source -> (S, h, w), NaN where there is no value; the truth first where there is one.
        names: (S,) names of the species.
        unit: label of the colour bars.
        extent: west, south, east, north in EPSG:3035 metres.
        captions: source -> (S,) captions under the maps, such as rank correlations with the truth.
    """
    count = len(columns)
    across = min(max(1, 4 // count), len(names))  # species in one row of the picture
    down = -(-len(names) // across)
    first = next(iter(columns.values()))
    aspect = min(max(first.shape[1] / first.shape[2], 0.3), 1.8)
    figure = new_figure((2.9 * count + 0.9) * across, (2.9 * aspect + 0.45) * down + 0.3)
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
    return png(figure)


def block_picture(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, size_m: float, title: str, unit: str, *, signed: bool = False
) -> bytes:
    """A value of each spatial block, as coloured squares.

    Args:
        x: (B,) west edges, EPSG:3035 metres.
        y: (B,) south edges, EPSG:3035 metres.
        values: (B,).
        size_m: side of a block, metres.
        title: of the map.
        unit: label of the colour bar.
        signed: whether values are signed errors, whose colours diverge from zero (purple positive, orange negative).
    """
    side = size_m / 1000
    squares = [Rectangle((east, north), side, side) for east, north in zip(x / 1000, y / 1000, strict=True)]
    figure = new_figure(6.6, 6.0)
    axis = figure.subplots()
    reach = float(np.nanpercentile(np.abs(values), 98)) or 1.0
    norm, colours = (TwoSlopeNorm(0, -reach, reach), "PuOr") if signed else (Normalize(*_limits([values])), "viridis")
    drawn = PatchCollection(squares, cmap=colours, norm=norm, edgecolor="white", linewidth=0.4)
    drawn.set_array(values)
    axis.add_collection(drawn)
    axis.set_facecolor(_NO_DATA)
    axis.autoscale_view()
    axis.set(aspect="equal", xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    axis.set_title(title, fontweight="bold")
    figure.colorbar(drawn, ax=axis, label=unit, shrink=0.8, extend="both")
    return png(figure)


def _draw_map(
    figure: Figure | None,
    axis: Axes,
    values: np.ndarray,
    unit: str,
    limits: tuple[float, float],
    extent: Extent | None,
    *,
    ticks: bool = True,
    colours: Colormap | None = None,
) -> AxesImage:
    """Draw a map on an axis, and its colour bar where a figure is given."""
    colours = (colours or colormaps["viridis"]).with_extremes(bad=_NO_DATA)
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
    """1st and 99th percentile of all finite values, so that a few extremes do not take most of the colour scale."""
    known = np.concatenate([values[np.isfinite(values)] for values in maps])
    if not len(known):
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(known, [1, 99]))
    return (low, high) if high > low else (low, low + 1)

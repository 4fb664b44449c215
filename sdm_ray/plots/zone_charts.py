"""Pictures of one zone: a map with its outline, and how it stands among other zones."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from sdm_ray.geo.grid import Extent
from sdm_ray.plots.figures import COLOURS, new_figure, png

_NO_DATA = "#e8e8e8"


def zone_map_picture(
    values: NDArray[np.floating], rings: list[NDArray[np.float64]], title: str, unit: str, extent: Extent
) -> bytes:
    """A map of a zone and its surroundings, with the outline of the zone.

    Args:
        values: (h, w), north up, NaN where there is no value.
        rings: outer and inner boundaries of the zone, EPSG:3035 metres, (P, 2) each.
        title: of the map.
        unit: label of the colour bar.
        extent: west, south, east, north, EPSG:3035 metres.
    """
    height, width = values.shape
    figure = new_figure(6.0, 6.0 * min(max(height / width, 0.5), 1.4) + 0.4)
    axis = figure.subplots()
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [1, 99]) if len(known) else (0.0, 1.0)
    west, south, east, north = (edge / 1000 for edge in extent)
    image = axis.imshow(
        np.ma.masked_invalid(values),
        cmap=colormaps["viridis"].with_extremes(bad=_NO_DATA),
        norm=Normalize(float(low), float(high) if high > low else float(low) + 1),
        extent=(west, east, south, north),
        interpolation="nearest",
        aspect="equal",
    )
    path = Path.make_compound_path(*(Path(ring / 1000, closed=True) for ring in rings)) if rings else Path([(0, 0)])
    axis.add_patch(PathPatch(path, facecolor="none", edgecolor=COLOURS[5], linewidth=1.4))
    axis.set(xlim=(west, east), ylim=(south, north), xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    figure.colorbar(image, ax=axis, label=unit, shrink=0.85, pad=0.02)
    axis.set_title(title, fontsize=11, fontweight="bold")
    return png(figure)


def standing_picture(standing: Mapping[str, tuple[float, NDArray[np.float64]]]) -> bytes:
    """Where a zone (dot) stands among others (lines): a row for each indicator, from the lowest to the highest.

    Args:
        standing: indicator -> its value in the zone, and those of all zones, (Z,).
    """
    figure = new_figure(6.6, 0.34 * len(standing) + 1.0)
    axis = figure.subplots()
    for row, (value, every) in enumerate(standing.values()):
        low, high = np.nanmin(every), np.nanmax(every)
        scale = (high - low) or 1
        axis.plot((every - low) / scale, np.full(len(every), row), "|", color=COLOURS[6], markersize=9, alpha=0.5)
        axis.plot((value - low) / scale, row, "o", color=COLOURS[5], markersize=7)
        axis.text(-0.02, row - 0.32, f"{low:.3g}", fontsize=7, ha="right", va="center", color="#555555")
        axis.text(1.02, row - 0.32, f"{high:.3g}", fontsize=7, ha="left", va="center", color="#555555")
    axis.set_yticks(range(len(standing)), list(standing))
    axis.set(xlim=(-0.12, 1.12), ylim=(len(standing) - 0.4, -0.8), xticks=[])
    for side in ("top", "right", "bottom", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(length=0)
    return png(figure)

"""Maps of signed differences."""

import numpy as np
from matplotlib.colors import TwoSlopeNorm

from sdm_ray.geo.grid import Extent
from sdm_ray.plots.figures import new_figure, png

_NO_DATA = "#e8e8e8"


def signed_map_picture(values: np.ndarray, title: str, unit: str, extent: Extent) -> bytes:
    """One map of differences, whose colours diverge from zero (purple positive, orange negative).

    Args:
        values: (h, w), north up, NaN where there is no value.
        title: of the map.
        unit: label of the colour bar.
        extent: west, south, east, north in EPSG:3035 metres.
    """
    height, width = values.shape
    figure = new_figure(6.4, 6.4 * min(max(height / width, 0.4), 1.6))
    axis = figure.subplots()
    known = np.abs(values[np.isfinite(values)])
    reach = float(np.percentile(known, 99)) if len(known) else 1.0
    norm = TwoSlopeNorm(0, -(reach or 1.0), reach or 1.0)
    west, south, east, north = (edge / 1000 for edge in extent)
    axis.set_facecolor(_NO_DATA)
    image = axis.imshow(
        np.ma.masked_invalid(values), cmap="PuOr", norm=norm, extent=(west, east, south, north), interpolation="nearest"
    )  # fmt: skip
    axis.set(xlabel="easting (km, EPSG:3035)", ylabel="northing (km)")
    axis.set_title(title, fontweight="bold")
    figure.colorbar(image, ax=axis, label=unit, shrink=0.8, extend="both")
    return png(figure)

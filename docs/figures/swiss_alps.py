"""Draw the Swiss study: a plant of meadows, one of high rocks, the expected number of species, and the plots.

Cells whose climate no plot has are hatched: there the maps extrapolate.

Usage: python docs/figures/swiss_alps.py RUN_FOLDER PICTURE
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from PIL import Image

from sdm_ray.geo.grid import to_xy

SPECIES = ("Holcus_lanatus", "Saxifraga_oppositifolia")


def draw(run: Path, picture: Path) -> None:
    """Write the picture as a PNG of 128 colours."""
    level = xr.open_zarr(str(run / "map.zarr"), group="0")
    surveys = pd.read_parquet(run / "surveys.parquet", columns=["lon", "lat"])
    plots_x, plots_y = (each / 1000 for each in to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    figure, axes = plt.subplots(1, 3, figsize=(12.6, 4.3), layout="constrained", sharey=True)
    for axis, species in zip(axes[:2], SPECIES, strict=True):
        _panel(axis, level.probability.sel(species=species), "YlGn", f"{species.replace('_', ' ')}", "probability")
    _panel(axes[2], level.richness, "viridis", "expected number of 208 plants", "species in a plot")
    plt.rcParams["hatch.color"], plt.rcParams["hatch.linewidth"] = "#00000066", 0.5
    x, y = level.x.values / 1000, level.y.values / 1000
    beyond = (level.environmental_similarity.values < 0).astype(float)
    for axis in axes:
        axis.contourf(x, y, beyond, levels=[0.5, 1.5], colors="none", hatches=["////"])
    print(
        f"{np.sum(beyond) / np.sum(np.isfinite(level.richness.values)):.0%} of the cells are beyond the plots' climate"
    )
    axes[2].scatter(plots_x, plots_y, s=1.5, color="white", edgecolors="none")
    axes[1].set_xlabel("EPSG:3035 east, km  (white: the plots; hatched: a climate that no plot has)")
    axes[0].set_ylabel("north, km")
    figure.savefig(picture, dpi=95)
    Image.open(picture).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


def _panel(axis: Axes, layer: xr.DataArray, colours: str, title: str, label: str) -> None:
    x, y = layer.x.values / 1000, layer.y.values / 1000
    half = 0.125
    box = (x[0] - half, x[-1] + half, y[-1] - half, y[0] + half)
    image = axis.imshow(layer.values, extent=box, cmap=colours, interpolation="nearest")
    axis.set(title=title, facecolor="#e8eef2")
    axis.figure.colorbar(image, ax=axis, label=label, shrink=0.85)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))

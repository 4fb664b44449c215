"""Draw one species of a map of Europe; countries without any survey are hatched.

Usage: python docs/figures/species_map.py RUN_FOLDER SPECIES PICTURE

Reads `map.zarr` of the run folder at every fourth cell.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import PowerNorm
from PIL import Image

STEP = 4
WEST, EAST, SOUTH, NORTH = 2.5e6, 6.05e6, 1.35e6, 5.35e6  # EPSG:3035 metres


def draw(run: Path, species: str, picture: Path) -> None:
    """Write the picture as a PNG of 256 colours."""
    level = xr.open_zarr(str(run / "map.zarr"), group="0")
    level = level.isel(x=slice(STEP // 2, None, STEP), y=slice(STEP // 2, None, STEP))
    level = level.sel(x=slice(WEST, EAST), y=slice(NORTH, SOUTH))
    probability = level.probability.sel(species=species).values
    without_survey = (level.surveyed_country.values == 0) & np.isfinite(probability)
    x, y = level.x.values / 1000, level.y.values / 1000
    figure, axis = plt.subplots(figsize=(7.4, 7.4), layout="constrained")
    axis.set_facecolor("#e8eef2")
    box = (x[0], x[-1], y[-1], y[0])
    norm = PowerNorm(0.5, vmin=0, vmax=float(np.nanquantile(probability, 0.999)))
    image = axis.imshow(probability, extent=box, norm=norm, cmap="YlGn", interpolation="nearest")
    plt.rcParams["hatch.color"], plt.rcParams["hatch.linewidth"] = "#00000055", 0.5
    axis.contourf(x, y, without_survey.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
    axis.contour(x, y, without_survey.astype(float), levels=[0.5], colors="#00000077", linewidths=0.4)
    axis.set(title=f"{species}: probability of being recorded in a 1-km cell")
    axis.set(xlabel="EPSG:3035 east, km  (hatched: no records of the country in the data)", ylabel="north, km")
    figure.colorbar(image, ax=axis, label="probability (0 to 1, square-root colours)", shrink=0.75)
    figure.savefig(picture, dpi=105)
    Image.open(picture).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

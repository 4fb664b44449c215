"""Draw three species of the map of the Iberian flora: a common tree, one of the north, and one of a few mountains.

Usage: python docs/figures/iberian_flora.py RUN_FOLDER PICTURE
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

SPECIES = ("Quercus suber", "Fagus sylvatica", "Abies pinsapo")
STEP = 2  # every other cell of 1 km


def draw(run: Path, picture: Path) -> None:
    """Write the picture as a PNG of 96 colours."""
    level = xr.open_zarr(str(run / "map.zarr"), group="0").isel(x=slice(0, None, STEP), y=slice(0, None, STEP))
    names = pd.read_parquet(run / "species.parquet")["name"]
    surveys = pd.read_parquet(run / "surveys.parquet", columns=["species"])["species"]
    records = np.bincount(np.concatenate(surveys.to_numpy()), minlength=len(names))
    figure, axes = plt.subplots(1, len(SPECIES), figsize=(12.6, 3.6), layout="constrained", sharey=True)
    x, y = level.x.values / 1000, level.y.values / 1000
    for axis, species in zip(axes, SPECIES, strict=True):
        values = level.probability.sel(species=species).values
        image = axis.imshow(
            values, extent=(x[0], x[-1], y[-1], y[0]), vmin=0, vmax=1, cmap="YlGn", interpolation="nearest"
        )
        count = int(records[names == species][0])
        axis.set(title=f"{species}: {count:,} records", facecolor="#e8eef2", ylim=(1550, 2500))
    axes[0].set_ylabel("EPSG:3035 north, km")
    figure.colorbar(image, ax=axes, label="relative suitability", shrink=0.8)
    figure.savefig(picture, dpi=90)
    Image.open(picture).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))

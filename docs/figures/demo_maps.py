"""Draw one species of the demo: its truth, its map, and the map from coordinates alone.

Usage: `python docs/figures/demo_maps.py RUN_FOLDER SPECIES PICTURE`.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import xarray as xr

PANELS = {
    "true probability": "truth.zarr",
    "map from all inputs": "map.zarr",
    "map from coordinates alone": "map-coordinates.zarr",
}


def draw(run: Path, species: str, picture: Path) -> None:
    """Write the picture as a PNG."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9.6, 3.5), layout="constrained")
    for axis, (title, store) in zip(axes, PANELS.items(), strict=True):
        level = xr.open_zarr(str(run / store), group="0", consolidated=False)
        box = (0, level.sizes["x"], 0, level.sizes["y"])
        values = level.probability.sel(species=species).values
        image = axis.imshow(values, extent=box, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axis.set(title=title, xlabel="km")
    axes[0].set(ylabel=f"{species}\nkm")
    figure.colorbar(image, ax=axes, label="probability of occurrence", shrink=0.9)
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

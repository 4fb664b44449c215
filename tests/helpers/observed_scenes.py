"""One scene of a real tile, read onto a window of the cube."""

import numpy as np
from helpers.satellite import BANDS, EAST, NORTH, SOUTH, WEST

from sdm_ray.geo.grid import Grid, grid_of
from sdm_ray.geo.windows import Window, whole
from sdm_ray.sources.sentinel2.config import Sentinel2
from sdm_ray.sources.sentinel2.scene_reader import Reader, Target
from sdm_ray.sources.sentinel2.scenes import Raster, Scene
from sdm_ray.sources.sentinel2.signing import Signer

GRID = grid_of((WEST, SOUTH, EAST, NORTH), 10)


def settings(**changed) -> Sentinel2:
    values = {
        "source": "sentinel2",
        "scenes": {"kind": "files", "folders": ["."]},
        "years": [2019],
        "bounds": GRID.bounds,
        "mask": None,
        "bands": list(BANDS),
        "retries": 0,
    }
    return Sentinel2.model_validate(values | changed)


def scene(path, scl=None, **changed) -> Scene:
    rasters = {band: Raster(href=str(path), band=number) for number, band in enumerate(BANDS, 1)}
    if scl:
        rasters["scl"] = Raster(href=str(scl))
    values = {"name": "a", "date": "2019-06-01", "observation": "a", "tile": "a", "bounds": GRID.bounds, "offset": 0}
    return Scene(rasters=rasters, **values | changed)


def observed(what: Scene, grid: Grid = GRID, window: Window | None = None, **changed) -> np.ndarray:
    with Reader(settings(resolution_m=grid.resolution, **changed), Signer()) as reader:
        return reader.observe(what, Target(grid, window or whole(grid)))

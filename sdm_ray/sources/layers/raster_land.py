"""Land of one's own region from its covariate rasters, where there are no polygons."""

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.sources.base import LandTable
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers import rasters
from sdm_ray.sources.layers.config import RasterLand, Rasters


def land(source: RasterLand, config: PrepareConfig) -> LandTable:
    """Land where a raster has a value; all of it belongs to one region, which stands for a country.

    Raises:
        InputError: a raster cannot be used, or none has a value within the bounds.
    """
    files = [
        each if each.names is not None else each.model_copy(update={"names": "{file}_{band}"})
        for each in source.expanded()
    ]
    layers = Rasters(source="rasters", rasters=[*files], resolution_m=source.resolution_m, bounds=source.bounds)
    made = rasters.covariates(layers, config)
    known = np.asarray(np.isfinite(made.values).any(axis=0), bool)
    if not known.any():
        raise InputError(f"land: no raster has a value in west, south, east, north {made.grid.bounds} of the grid")
    return LandTable(made.grid, known, np.asarray(known, np.int16), [source.name])

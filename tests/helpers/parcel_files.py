"""Files of parcels and of points with a treatment, for tests of what people get wrong."""

import numpy as np
import pandas as pd
import pyogrio
import shapely

from sdm_ray.geo.grid import to_lonlat
from sdm_ray.impact.config import ImpactConfig


def write_squares(path, corners, side, columns, crs="EPSG:3035"):
    """Square parcels by their lower-left corners, metres."""
    shapes = [shapely.box(x, y, x + side, y + side) for x, y in corners]
    write_shapes(path, shapes, columns, crs)


def write_shapes(path, shapes, columns, crs="EPSG:3035"):
    frame = pd.DataFrame(columns)
    pyogrio.raw.write(
        str(path),
        geometry=shapely.to_wkb(np.array(shapes)),
        field_data=[frame[name].to_numpy() for name in frame],
        fields=list(frame),
        geometry_type="Polygon",
        crs=crs,
    )


def square(folder, name, west, south, side) -> str:
    """A file of one square, by kilometres from 4,000 km east and 3,000 km north."""
    path = folder / f"{name}.gpkg"
    write_squares(path, [(4_000_000 + 1000 * west, 3_000_000 + 1000 * south)], 1000 * side, {"id": [1]})
    return str(path)


def write_table(path, units, outcome=None, years=()):
    """A table of points, with an outcome of each year in columns `o2006`, ..."""
    lon, lat = to_lonlat(units["x"].to_numpy(), units["y"].to_numpy())
    table = units.drop(columns=["x", "y"]).assign(lon=lon.round(6), lat=lat.round(6))
    for number, year in enumerate(years):
        table[f"o{year:.0f}"] = outcome[:, number].round(4)
    path.write_text(table.to_csv(index=False))


def config_of(path, **changed):
    """A configuration for a table of `write_table`."""
    values = {
        "units": str(path),
        "id": "parcel",
        "treatment": {"column": "treated", "date": "date"},
        "outcome": {"columns": {"richness": {2006: "o2006", 2017: "o2017"}}},
        "covariates": {"columns": ["warmth", "slope"]},
        "estimate": {"resamples": 200},
        "placebos": {"fake_treatments": 3, "elsewhere": 3},
    }
    return ImpactConfig.model_validate(values | changed)

"""GeoParquet 1.1 of tables in EPSG:3035."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from upath import UPath

from sdm_ray.geo import grid as geo_grid


def write_geoparquet(path: UPath, table: pd.DataFrame, shapes: NDArray[Any], sources: Sequence[str] = ()) -> None:
    """Write a table and its geometry.

    Args:
        path: of the file.
        table: attributes, one row for each geometry.
        shapes: shapely geometries in EPSG:3035, (N,).
        sources: data sources with their licences, which are written into the file's metadata.
    """
    column = {
        "encoding": "WKB",
        "geometry_types": sorted({shape.geom_type for shape in shapes}),
        "crs": json.loads(CRS.from_user_input(geo_grid.CRS).to_json()),
    }
    about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    rows = pa.Table.from_pandas(table, preserve_index=False)
    rows = rows.append_column("geometry", pa.array(shapely.to_wkb(np.asarray(shapes)), pa.binary()))
    more = {b"geo": json.dumps(about).encode(), b"sources": "; ".join(sources).encode()}
    with path.open("wb") as file:
        pq.write_table(rows.replace_schema_metadata({**(rows.schema.metadata or {}), **more}), file, compression="zstd")

import json

import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from upath import UPath

from sdm_ray.stores.geoparquet import write_geoparquet


def test_it_says_its_geometry_projection_and_sources(tmp_path):
    place = UPath(tmp_path) / "cells.parquet"
    shapes = shapely.box([4_000_000, 4_010_000], [3_000_000, 3_000_000], [4_010_000, 4_020_000], [3_010_000, 3_010_000])
    write_geoparquet(place, pd.DataFrame({"cell": ["a", "b"]}), shapes, ["plots, CC BY 4.0", "climate"])
    table = pq.read_table(str(place))
    about = json.loads(table.schema.metadata[b"geo"])
    assert about["version"] == "1.1.0" and about["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    assert about["columns"]["geometry"]["crs"]["id"]["code"] == 3035
    assert table.schema.metadata[b"sources"] == b"plots, CC BY 4.0; climate"
    assert shapely.from_wkb(table["geometry"].to_pylist())[1].equals(shapes[1])


@pytest.mark.skipif("Parquet" not in pyogrio.list_drivers(), reason="GDAL of this pyogrio has no Parquet driver")
def test_gdal_reads_it(tmp_path):
    place = UPath(tmp_path) / "sites.parquet"
    write_geoparquet(place, pd.DataFrame({"rank": [1]}), shapely.points([[4_000_000, 3_000_000]]))
    meta, _, _, _ = pyogrio.raw.read(str(place))
    assert meta["crs"] == "EPSG:3035"

"""Occurrences out of files of points."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pytest
import shapely
from pyproj import Transformer

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import read_table
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import tables
from sdm_ray.sources.occurrences.config import Tables

LON, LAT = np.array([3.5, 3.5, 4.25]), np.array([43.5, 43.5, 44.75])


def points_file(path, crs="EPSG:4326", shapes=None, **columns) -> str:
    if shapes is None:
        there = Transformer.from_crs("EPSG:4326", crs or "EPSG:4326", always_xy=True)
        shapes = shapely.points(*there.transform(LON, LAT))
    table = pa.table({"taxon": ["oak", "elm", "oak"], "plot": [7, 7, 8], **columns, "geom": shapely.to_wkb(shapes)})
    pyogrio.write_arrow(table, path, geometry_name="geom", geometry_type="Unknown", crs=crs)
    return str(path)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:2154"])
@pytest.mark.parametrize("ending", ["gpkg", "fgb"])
def test_points_of_any_projection_give_degrees(tmp_path, ending, crs):
    rows = read_table(points_file(tmp_path / f"plots.{ending}", crs), ["lon", "lat", "taxon"])
    rows = rows.sort_values(["lat", "taxon"])  # FlatGeobuf keeps its own order
    assert np.allclose(rows["lon"], [3.5, 3.5, 4.25], atol=1e-8)
    assert np.allclose(rows["lat"], [43.5, 43.5, 44.75], atol=1e-8)
    assert rows["taxon"].tolist() == ["elm", "oak", "oak"]


def test_a_geopackage_as_surveys(tmp_path):
    source = {
        "source": "tables", "table": points_file(tmp_path / "plots.gpkg", "EPSG:2154"),
        "columns": {"survey": "plot", "species": "taxon"}, "probability_kind": "occurrence",
    }  # fmt: skip
    found = tables.surveys(Tables.model_validate(source), PrepareConfig(land={"source": "virtual"}))
    assert found.surveys["survey_id"].tolist() == ["7", "8"]
    assert found.surveys["species"].map(list).tolist() == [[0, 1], [1]]


def test_own_columns_of_degrees_come_first(tmp_path):
    file = points_file(tmp_path / "plots.gpkg", lon=[1.0, 2.0, 3.0], lat=[50.0, 51.0, 52.0])
    assert read_table(file, ["lon"])["lon"].tolist() == [1.0, 2.0, 3.0]


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"plots\.gpkg: has no column cover; found taxon, plot, lon, lat"):
        read_table(points_file(tmp_path / "plots.gpkg"), ["cover"])
    lines = shapely.linestrings([[[3, 43], [4, 44]]] * 3)
    with pytest.raises(InputError, match=r"row 1 is a LineString, expected points"):
        read_table(points_file(tmp_path / "lines.gpkg", shapes=lines), ["lon"])
    with pytest.raises(InputError, match=r"lost\.gpkg: has no projection"):
        read_table(points_file(tmp_path / "lost.gpkg", crs=None), ["lon"])
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(InputError, match=r"text\.gpkg: cannot be read as a table"):
        read_table(str(tmp_path / "text.gpkg"), ["lon"])
    with pytest.raises(InputError, match=r"none\.gpkg: no such file"):
        read_table(str(tmp_path / "none.gpkg"), ["lon"])


def test_column_names_are_not_a_matter_of_text(tmp_path):
    rows = read_table(points_file(tmp_path / "plots.gpkg"), ["lon"], ["plot", "missing"])
    assert list(rows.columns) == ["lon", "plot"]
    assert isinstance(rows, pd.DataFrame)

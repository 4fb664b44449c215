"""Occurrences out of files of points."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from pyproj import CRS, Transformer

from sdm_ray.errors import InputError
from sdm_ray.readers.config import TableFormat
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
    with pytest.raises(InputError, match=r"lost\.gpkg: has no projection \(CRS\); state it as `crs`"):
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


def test_empty_points_and_multipoints_of_one_point(tmp_path):
    shapes = np.array([shapely.Point(3.5, 43.5), shapely.Point(), shapely.MultiPoint([(4.25, 44.75)])])
    rows = read_table(points_file(tmp_path / "plots.gpkg", shapes=shapes), ["lon", "lat"])
    assert rows["lon"].fillna(-1).tolist() == [3.5, -1, 4.25]
    several = np.array([shapely.Point(3.5, 43.5), None, shapely.MultiPoint([(4.25, 44.75), (1, 2)])])
    with pytest.raises(InputError, match="row 3 is a MultiPoint, expected points"):
        read_table(points_file(tmp_path / "several.gpkg", shapes=several), ["lon"])


def test_a_layer_is_named_where_there_are_several(tmp_path):
    path = tmp_path / "field.gpkg"
    for name, shift in (("plots", 0), ("springs", 1)):
        table = pa.table({"taxon": [name], "geom": shapely.to_wkb([shapely.Point(3.5 + shift, 43.5)])})
        pyogrio.write_arrow(
            table, path, layer=name, geometry_name="geom", geometry_type="Point", crs="EPSG:4326", append=path.exists()
        )
    with pytest.raises(InputError, match=r"field\.gpkg: has 2 layers, plots, springs; name one as `layer`"):
        read_table(str(path), ["lon"])
    rows = read_table(str(path), ["lon", "taxon"], form=TableFormat(layer="springs"))
    assert rows.to_numpy().tolist() == [[4.5, "springs"]]
    with pytest.raises(InputError, match=r"has no layer trees; found plots, springs"):
        read_table(str(path), ["lon"], form=TableFormat(layer="trees"))


def test_a_stated_reference_system_places_points_without_one(tmp_path):
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:25832", always_xy=True).transform(LON, LAT)
    path = points_file(tmp_path / "lost.gpkg", crs=None, shapes=shapely.points(x, y))
    assert np.allclose(read_table(path, ["lon"], form=TableFormat(crs="EPSG:25832"))["lon"], LON, atol=1e-8)
    with pytest.raises(InputError, match="crs 'EPSG:1' is not known"):
        read_table(path, ["lon"], form=TableFormat(crs="EPSG:1"))


@pytest.mark.parametrize("crs", ["EPSG:3035", None])
def test_geoparquet_gives_degrees(tmp_path, crs):
    there = Transformer.from_crs("EPSG:4326", crs or "EPSG:4326", always_xy=True)
    table = pa.table(
        {"taxon": ["oak", "elm", "oak"], "geom": shapely.to_wkb(shapely.points(*there.transform(LON, LAT)))}
    )
    column = {"encoding": "WKB", "geometry_types": ["Point"]}
    if crs:
        column["crs"] = CRS(crs).to_json_dict()
    geo = {"version": "1.1.0", "primary_column": "geom", "columns": {"geom": column}}
    path = tmp_path / "plots.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    rows = read_table(str(path), ["taxon", "lon", "lat"])
    assert np.allclose(rows[["lon", "lat"]].to_numpy(np.float64), np.c_[LON, LAT], atol=1e-8)
    assert rows["taxon"].tolist() == ["oak", "elm", "oak"]
    assert read_table(str(path), ["taxon"])["taxon"].tolist() == ["oak", "elm", "oak"]

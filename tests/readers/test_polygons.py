"""Polygons as the area that points are taken from."""

import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.readers.polygons import inside, outline
from sdm_ray.sources.base import Report, usable_places
from sdm_ray.sources.occurrences.config import Tables


def polygon_file(path, shape, crs="EPSG:4326") -> str:
    pyogrio.raw.write(
        path, np.array([shapely.to_wkb(shape)], object), field_data=[], fields=[], geometry_type="Unknown", crs=crs
    )
    return str(path)


def source(**settings) -> Tables:
    return Tables.model_validate({"source": "tables", "table": "x.csv", "probability_kind": "occurrence", **settings})


def test_the_territory_of_cbn_med(data):
    file = str(data / "plantnet/cbn_boundary_input_50m_main_polygon.wkt")
    photos = pd.read_csv(data / "plantnet/metadata_subset.csv")
    territory = outline(file)
    lon, lat = photos["decimalLongitude"].to_numpy(), photos["decimalLatitude"].to_numpy()
    assert inside(territory, lon, lat).all()  # the sample was drawn from it
    assert not inside(territory, np.array([2.35, 8.0, np.nan]), np.array([48.86, 43.0, 43.5])).any()
    plain = shapely.from_wkt((data / "plantnet/cbn_boundary_input_50m_main_polygon.wkt").read_text())
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(2.5, 7.8, 4000), rng.uniform(42.2, 45.2, 4000)
    assert (inside(territory, lon, lat) == shapely.contains_xy(plain, lon, lat)).mean() > 0.999


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:32631"])
def test_polygons_of_any_projection(tmp_path, crs):
    from pyproj import Transformer

    box = shapely.segmentize(shapely.box(3, 43, 5, 44), 0.1)
    there = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    moved = shapely.transform(box, lambda points: np.column_stack(there.transform(*points.T)))
    area = outline(polygon_file(tmp_path / "area.gpkg", moved, crs))
    assert inside(area, np.array([4.0, 4.99, 5.01, 4.0]), np.array([43.5, 43.01, 43.5, 44.01])).tolist() == [
        True, True, False, False,
    ]  # fmt: skip


def test_what_lies_outside_the_polygons_is_no_loss(tmp_path):
    places = pd.DataFrame({"lon": [4.0, 6.0, 0.0, 4.1, 43.5], "lat": [43.5, 43.5, 0.0, 43.6, 4.0]})
    places["uncertainty_m"] = [10, 10, 10, 5000, np.nan]
    report = Report("x.csv", 5)
    settings = source(within=polygon_file(tmp_path / "area.geojson", shapely.box(3, 43, 5, 44)), max_uncertainty_m=100)
    usable = usable_places(places, pd.Series(list("abcde")), settings, report)
    assert usable.tolist() == [True, False, False, False, False]
    assert report.left == {"uncertain": ["d"], "not_within": ["b"]}
    assert report.dropped == {"zero": ["c (lon 0, lat 0)"], "swapped": ["e (lon 43.5, lat 4)"]}
    assert report.lost == 2
    assert report.figures()["left_not_within"] == 1
    assert report.as_json()["left_keys"] == {"uncertain": ["d"], "not_within": ["b"]}


def test_polygons_around_no_point_are_refused(tmp_path):
    file = polygon_file(tmp_path / "area.gpkg", shapely.box(3, 43, 5, 44))
    places = pd.DataFrame({"lon": [10.5], "lat": [50.5]})
    with pytest.raises(InputError, match=r"x\.csv: no point lies within .*area\.gpkg"):
        usable_places(places, pd.Series(["a"]), source(within=file), Report("x.csv", 1))


def test_the_polygons_are_among_the_files_that_decide(tmp_path):
    assert source(within="area.gpkg").files() == {"table": "x.csv", "within": "area.gpkg"}
    assert source().files() == {"table": "x.csv"}


def test_what_is_no_area_is_one_line(tmp_path):
    point = polygon_file(tmp_path / "point.gpkg", shapely.Point(3, 4))
    with pytest.raises(InputError, match=r"point\.gpkg: holds no polygons"):
        outline(point)
    (tmp_path / "broken.wkt").write_text("POLYGON((1 2, oops")
    with pytest.raises(InputError, match=r"broken\.wkt: is not well-known text"):
        outline(str(tmp_path / "broken.wkt"))
    with pytest.raises(InputError, match=r"none\.gpkg: no such file"):
        outline(str(tmp_path / "none.gpkg"))
    pyogrio.raw.write(
        tmp_path / "lost.shp", np.array([shapely.to_wkb(shapely.box(0, 0, 1, 1))], object), field_data=[], fields=[],
        geometry_type="Polygon",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"lost\.shp: has no projection"):
        outline(str(tmp_path / "lost.shp"))


def test_a_box_on_the_grid_keeps_its_corners(tmp_path):
    area = outline(
        polygon_file(tmp_path / "area.gpkg", shapely.box(4_000_000, 2_500_000, 4_010_000, 2_510_000), "EPSG:3035")
    )
    lon, lat = to_lonlat(np.array([4_000_010.0, 3_999_990.0]), np.array([2_509_990.0, 2_500_010.0]))
    assert inside(area, lon, lat).tolist() == [True, False]

import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pytest
import shapely
from pyproj import Transformer
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.zone_polygons import read_zones
from sdm_ray.stores.geoparquet import write_geoparquet

SQUARE = shapely.box(4_000_000, 3_000_000, 4_010_000, 3_020_000)
BOWTIE = shapely.Polygon([(4e6, 3e6), (4.01e6, 3.01e6), (4.01e6, 3e6), (4e6, 3.01e6)])


def write(path, shapes, crs="EPSG:3035", layer=None, append=False):
    table = pa.table({"code": [f"z{i}" for i in range(len(shapes))], "wkb": shapely.to_wkb(np.array(shapes))})
    kind = "Polygon" if all(each.geom_type == "Polygon" for each in shapes) else "Unknown"
    about = {"geometry_name": "wkb", "geometry_type": kind, "crs": crs}
    pyogrio.write_arrow(table, path, layer=layer, append=append, **about)
    return str(path)


def test_polygons_in_degrees_are_brought_onto_the_grid(tmp_path):
    back = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    dense = shapely.segmentize(SQUARE, 500)
    degrees = shapely.transform(dense, lambda points: np.column_stack(back.transform(*points.T)))
    found = read_zones(write(tmp_path / "zones.gpkg", [degrees], "EPSG:4326"))
    assert found.shapes[0].area == pytest.approx(SQUARE.area, rel=1e-5)
    assert found.shapes[0].symmetric_difference(SQUARE).area < 1e-4 * SQUARE.area
    assert found.table["code"].tolist() == ["z0"] and not found.repaired.any()


def test_invalid_and_empty_geometries_stay_as_rows(tmp_path):
    found = read_zones(write(tmp_path / "zones.gpkg", [BOWTIE, SQUARE, shapely.Polygon(), shapely.Point(4e6, 3e6)]))
    assert found.repaired.tolist() == [True, False, False, False]
    assert found.shapes[0].is_valid and found.shapes[0].area == pytest.approx(5e7)
    assert [each.is_empty for each in found.shapes] == [False, False, True, True]


def test_geoparquet_comes_back_as_it_was_written(tmp_path):
    place = UPath(tmp_path / "zones.parquet")
    write_geoparquet(place, pd.DataFrame({"code": ["a", "b"]}), np.array([SQUARE, BOWTIE.buffer(0)]))
    found = read_zones(str(place))
    assert found.table["code"].tolist() == ["a", "b"] and found.shapes[0].equals(SQUARE)


@pytest.mark.parametrize(
    ("shapes", "crs", "line"),
    [
        ([SQUARE], None, r"has no projection \(CRS\)"),
        ([shapely.Point(1, 2)], "EPSG:4326", "holds no polygons"),
    ],
)
def test_files_without_place_or_polygon_are_one_line(tmp_path, shapes, crs, line):
    with pytest.raises(InputError, match=rf"zones\.gpkg: {line}"):
        read_zones(write(tmp_path / "zones.gpkg", shapes, crs))


def test_missing_broken_and_many_layered_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none\.gpkg: no such file"):
        read_zones(str(tmp_path / "none.gpkg"))
    (tmp_path / "broken.geojson").write_text("{")
    with pytest.raises(InputError, match=r"broken\.geojson: cannot be read as polygons"):
        read_zones(str(tmp_path / "broken.geojson"))
    place = write(tmp_path / "two.gpkg", [SQUARE], layer="sites")
    write(place, [SQUARE], layer="parcels", append=True)
    with pytest.raises(InputError, match=r"two\.gpkg: has 2 layers, sites, parcels; name one as `layer`"):
        read_zones(place)
    assert len(read_zones(place, "sites").shapes) == 1


def test_damaged_geoparquet_is_one_line(tmp_path):
    place = tmp_path / "zones.parquet"
    write_geoparquet(UPath(place), pd.DataFrame({"code": ["a"]}), np.array([SQUARE]))
    content = place.read_bytes()
    for damaged in (b"", content[:-20], content[: len(content) // 2], content.replace(b"geo", b"g\xff\xff")):
        place.write_bytes(damaged)
        with pytest.raises(InputError, match=r"zones\.parquet: (cannot be read as polygons|has no geometry)"):
            read_zones(str(place))


def test_a_polygon_beyond_its_reference_system_is_empty_and_not_cut_into_edges_without_end(tmp_path):
    square = shapely.box(8, 47, 9, 48)
    for far in (1e9, 1e300):
        corner = shapely.Polygon([(8, 47), (far, 47), (8, 48)])
        found = read_zones(write(tmp_path / f"{far:g}.gpkg", [square, corner], "EPSG:4326"))
        assert [each.is_empty for each in found.shapes] == [False, True]

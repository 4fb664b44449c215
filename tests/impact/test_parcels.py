import numpy as np
import pandas as pd
import pytest
import shapely
from helpers.management import CENTRE
from helpers.parcel_files import write_shapes
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.impact.parcels import cell_shares, holds_polygons, point_shares, read_parcels
from sdm_ray.stores.geoparquet import write_geoparquet

GRID = Grid(0.0, 4000.0, 1000.0, 5, 4)


def test_shares_of_cells_worked_by_hand():
    square = shapely.box(500, 500, 2500, 1500)  # cells of rows 2 and 3, columns 0 to 2
    found = cell_shares(np.array([square]), GRID).toarray().reshape(4, 5)
    expected = np.zeros((4, 5))
    expected[2:4, 0], expected[2:4, 1], expected[2:4, 2] = 0.25, 0.5, 0.25
    assert np.allclose(found, expected)


def test_shares_add_up_to_the_area_inside_the_grid():
    ring = shapely.Point(2500, 2000).buffer(1700) - shapely.Point(2500, 2000).buffer(400)
    beyond = shapely.box(4500, 3500, 9000, 9000)
    found = cell_shares(np.array([ring, beyond, shapely.box(9000, 9000, 9500, 9500)]), GRID)
    assert np.asarray(found.sum(axis=1)).ravel() == pytest.approx([shapely.area(ring) / 1e6, 0.25, 0])


def test_a_point_has_the_cell_that_it_lies_in():
    found = point_shares(np.array([2500.0, -1.0]), np.array([3500.0, 100.0]), GRID)
    assert found.indices.tolist() == [2] and np.asarray(found.sum(axis=1)).ravel().tolist() == [1, 0]


def test_what_is_no_parcel(tmp_path):
    assert not holds_polygons("units.csv")
    write_shapes(tmp_path / "p.gpkg", [shapely.box(0, 0, 1, 1)], {"a": [1]}, crs=None)
    with pytest.raises(InputError, match="has no projection"):
        read_parcels(str(tmp_path / "p.gpkg"))
    x, y = CENTRE
    write_shapes(tmp_path / "q.gpkg", [shapely.box(x, y, x + 1, y + 1), None], {"a": [1, 2]})
    with pytest.raises(InputError, match="row 2 is no polygon that"):
        read_parcels(str(tmp_path / "q.gpkg"))


def test_geoparquet_of_polygons(tmp_path):
    x, y = CENTRE
    table = pd.DataFrame({"a": [1, 2]})
    shapes = [shapely.box(x + d, y, x + d + 10, y + 10) for d in (0, 20)]
    write_geoparquet(UPath(tmp_path / "p.parquet"), table, shapes)
    table.to_parquet(tmp_path / "plain.parquet")
    assert holds_polygons(str(tmp_path / "p.parquet")) and not holds_polygons(str(tmp_path / "plain.parquet"))
    assert shapely.area(read_parcels(str(tmp_path / "p.parquet")).shapes) == pytest.approx([100, 100])

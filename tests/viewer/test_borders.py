"""Borders of a land store: the same land, common borders, few points."""

import json

import numpy as np
import pytest
import shapely
from helpers import shown_maps
from helpers.shown_maps import GRID
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.stores.land import write_land
from sdm_ray.viewer.borders import borders


def polygons(text: str) -> dict[str, shapely.Geometry]:
    found: dict[str, list[shapely.Geometry]] = {}
    for feature in json.loads(text)["features"]:
        outline = shapely.from_geojson(json.dumps(feature["geometry"]))
        found.setdefault(feature["properties"]["name"], []).append(outline)
    return {name: shapely.union_all(each) for name, each in found.items()}


def test_countries_keep_their_land_and_share_their_border(tmp_path):
    shown_maps.write_countries(tmp_path / "land.zarr")
    found = polygons(borders(UPath(tmp_path / "land.zarr"), GRID.bounds))
    north, south = found["Northland"], found["Southland"]
    assert north.area == south.area == 140 * 60 * 1e6
    assert north.intersection(south).length == 140_000
    assert north.bounds == (4_010_000, 2_940_000, 4_150_000, 3_000_000)


def test_steps_of_cells_are_simplified_and_land_without_a_country_has_no_name(tmp_path):
    grid = Grid(4_000_000, 3_200_000, 1000, 200, 200)
    rows, cols = np.mgrid[:200, :200]
    land = (rows - 100) ** 2 + (cols - 100) ** 2 < 80**2
    write_land(UPath(tmp_path / "land.zarr"), grid, land, np.zeros(grid.shape, np.int16), [])
    found = polygons(borders(UPath(tmp_path / "land.zarr"), grid.bounds))
    assert list(found) == [""]
    assert found[""].area == pytest.approx(land.sum() * 1e6, rel=0.01)
    steps = np.abs(np.diff(np.pad(land, 1).astype(int), axis=0)).sum()
    assert shapely.get_num_coordinates(found[""]) < steps / 2


def test_what_is_far_from_the_map_is_left_out(tmp_path):
    shown_maps.write_countries(tmp_path / "land.zarr")
    near = (4_050_000, 2_950_000, 4_060_000, 2_960_000)
    found = polygons(borders(UPath(tmp_path / "land.zarr"), near))
    assert list(found) == ["Northland"] and found["Northland"].bounds == (4_047_000, 2_947_000, 4_063_000, 2_963_000)

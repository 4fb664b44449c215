"""Land and countries on the grid, against places whose country is known."""

import numpy as np
import pyogrio
import pytest
import shapely

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_xy
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers import naturalearth
from sdm_ray.sources.layers.config import NaturalEarth

JOB = PrepareConfig(land={"source": "virtual"})
PLACES = {
    (2.35, 48.86): "France",
    (-3.70, 40.42): "Spain",
    (-0.13, 51.51): "United Kingdom",
    (24.94, 60.25): "Finland",
    (25.13, 35.25): "Greece",  # Crete
    (20.46, 44.80): "Republic of Serbia",
    (-21.5, 64.5): "Iceland",
    (34.4, 46.2): "Ukraine",
    (-9.0, 53.3): "Ireland",
}
SEA = [(-4, 45.5), (3, 56), (18, 36), (-20, 50), (19, 58)]


def made(data, **settings):
    folder = data / "naturalearth"
    paths = {"land": folder / "ne_50m_land.shp", "countries": folder / "ne_110m_admin_0_countries.shp"}
    values = {"source": "naturalearth", **{key: str(path) for key, path in paths.items()}, **settings}
    return naturalearth.land(NaturalEarth.model_validate(values), JOB)


@pytest.fixture(scope="module")
def europe(data):
    return made(data, resolution_m=5000)


def test_known_places_have_their_country(europe):
    row, col = europe.grid.cell(*to_xy(*np.array(list(PLACES)).T))
    assert europe.land[row, col].all()
    assert [europe.names[number - 1] for number in europe.country[row, col]] == list(PLACES.values())
    row, col = europe.grid.cell(*to_xy(*np.array(SEA, float).T))
    assert not europe.land[row, col].any()
    assert not europe.country[row, col].any()


def test_areas_are_those_of_the_countries(europe):
    count = np.bincount(europe.country.ravel(), minlength=len(europe.names) + 1) * 25  # km2
    for name, area in {"Austria": 83_900, "Poland": 312_700, "Portugal": 88_900, "Ireland": 70_300}.items():
        assert count[europe.names.index(name) + 1] == pytest.approx(area, rel=0.05)


def test_land_that_the_coarse_outlines_miss_gets_the_nearest_country(data):
    bounds = (3_900_000, 3_900_000, 4_400_000, 4_400_000)  # the fjords of Norway
    near = made(data, bounds=bounds, resolution_m=2000)
    bare = made(data, bounds=bounds, resolution_m=2000, reach_m=0)
    missed = bare.land & (bare.country == 0)
    assert missed.sum() > 100
    assert not (near.country[missed] == 0).any()
    np.testing.assert_array_equal(near.country[bare.country > 0] > 0, True)


def test_files_that_cannot_be_used_are_named(data, tmp_path):
    with pytest.raises(InputError, match=r"absent\.shp: no such file"):
        made(data, land=str(tmp_path / "absent.shp"))
    with pytest.raises(InputError, match="has no attribute NAAM; found featurecla"):
        made(data, name_field="NAAM", resolution_m=50_000)
    (tmp_path / "text.shp").write_text("no polygons")
    with pytest.raises(InputError, match=r"text\.shp: cannot be read as polygons"):
        made(data, land=str(tmp_path / "text.shp"), resolution_m=50_000)
    metres = tmp_path / "metres.gpkg"
    square = np.array([shapely.to_wkb(shapely.box(4_000_000, 3_000_000, 4_100_000, 3_100_000))])
    pyogrio.raw.write(str(metres), square, [], [], geometry_type="Polygon", crs="EPSG:3035")
    with pytest.raises(InputError, match=r"metres\.gpkg: is not in longitude and latitude"):
        made(data, land=str(metres), resolution_m=50_000)
    with pytest.raises(InputError, match="no land in"):
        made(data, bounds=(1_000_000, 3_000_000, 1_100_000, 3_100_000))


def test_finer_borders_take_the_coarse_names_and_leave_the_rest(data):
    """Vaduz and Malta are no countries at 1:110m; London and Minsk are in no NUTS region."""
    nuts = {"borders": str(data / "nuts-2024" / "nuts_2024_20M.gpkg"), "borders_where": "LEVL_CODE = 0"}
    finer = made(data, resolution_m=5000, **nuts)
    places = PLACES | {(-0.13, 51.51): "United Kingdom", (27.56, 53.9): "Belarus", (9.555, 47.15): "Liechtenstein"}
    row, col = finer.grid.cell(*to_xy(*np.array(list(places)).T))
    assert [finer.names[number - 1] for number in finer.country[row, col]] == list(places.values())
    for name in ("Austria", "Poland", "Portugal", "Greece", "Norway"):
        assert finer.names.count(name) == 1
    assert not {"Österreich", "Polska", "Elláda", "Norge"} & set(finer.names)
    with pytest.raises(InputError, match=r"nuts_2024_20M\.gpkg: cannot be read as polygons where LEVEL = 0"):
        made(data, resolution_m=50_000, **(nuts | {"borders_where": "LEVEL = 0"}))

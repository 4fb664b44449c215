"""An EBV cube holds what EBVCube-format 1.0 asks for, and opens in xarray and GDAL with the map's numbers and place."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray
from helpers import publisher
from upath import UPath

from sdm_ray import job
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.mapping import export
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Map, MapSpec, create_map

netCDF4 = pytest.importorskip("netCDF4", reason="an extra of sdm-ray, `ebv`")

GRID = Grid(4_000_000, 3_300_000, 1000, 90, 70)
NAMES = ["Abies alba", "Épilobe étroit", *(f"Sorbus number{number}" for number in range(18))]
ABOUT = {**publisher.ABOUT, "date": "2020-07-01"}
# EBVCube-format, sections 2.1 to 2.8: attributes that the publisher must give, and those with fixed values
MANDATORY = [
    "title",
    "date_created",
    "summary",
    "source",
    "creator_name",
    "creator_institution",
    "license",
    "publisher_name",
    "publisher_email",
    "publisher_institution",
    "ebv_class",
    "ebv_name",
    "ebv_geospatial_scope",
    "ebv_geospatial_description",
    "time_coverage_resolution",
    "time_coverage_start",
    "time_coverage_end",
    "ebv_domain",
]
FURTHER = [
    "id",
    "naming_authority",
    "date_issued",
    "date_modified",
    "date_metadata_modified",
    "product_version",
    "geospatial_lat_units",
    "geospatial_lat_resolution",
    "geospatial_lon_resolution",
    "geospatial_lon_units",
    "geospatial_bounds_crs",
    "geospatial_bounds",
    "history",
]
FIXED = {
    "Conventions": "CF-1.8, ACDD-1.3, EBV-1.0",
    "ebv_vocabulary": "https://portal.geobon.org/api/v1/ebv",
    "ebv_cube_dimensions": "lon, lat, time, entity",
    "naming_authority": "The German Centre for Integrative Biodiversity Research (iDiv) Halle-Jena-Leipzig",
}
OF_VARIABLES = {
    "crs": ["grid_mapping_name", "spatial_ref", "GeoTransform", "long_name"],
    "lon": ["axis", "units", "standard_name", "long_name"],
    "lat": ["axis", "units", "standard_name", "long_name"],
    "time": ["axis", "calendar", "units", "long_name"],
    "entity": ["ebv_entity_type", "ebv_entity_scope", "units", "long_name"],
    "taxonomy_levels": ["units"],
    "taxonomy_table": ["units"],
    "taxonomy_key": ["units", "long_name"],
}
OF_METRIC = ["standard_name", "long_name", "units"]
OF_CUBE = ["grid_mapping", "long_name", "coordinates", "units", "coverage_content_type", "_FillValue"]


def make_map(folder, name, seed, grid=GRID):
    values = np.random.default_rng(seed).random((20, *grid.shape)).astype(np.float32)
    values[:, :, :10] = np.nan
    species = pd.DataFrame({"species_id": range(20), "name": NAMES})
    create_map(folder / name, grid, MapSpec(species, "occurrence", 64, {}, attrs={"title": "Plants of a region"}))
    writer = Map(folder / name, writable=True)
    for window in whole(grid).parts(64, 64):
        writer.write(window, values[:, *window.slices], {})
    config = {"model": "model", "resolution_m": 1000}
    record = artefact.Record(kind="map", fingerprint=f"{seed:032}", sources=["plots, CC BY 4.0"], config=config)
    artefact.seal(folder / name, record)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("ebv"))
    for seed, name in enumerate(("map.zarr", "later.zarr", "warm.zarr", "warm-later.zarr")):
        make_map(folder, name, seed)
    (folder / "model").mkdir()
    keys = pd.array([2685484, *[pd.NA] * 19], "Int64")
    pd.DataFrame({"name": NAMES, "gbif_key": keys}).to_parquet(str(folder / "model" / "species.parquet"))
    return folder


def make(run_dir, ebv=None, **values):
    tracking = {"uri": f"sqlite:///{run_dir}/mlflow.db"}
    config = ExportConfig(run_dir=str(run_dir), tracking=tracking, format="ebv", ebv={**ABOUT, **(ebv or {})}, **values)
    job.execute("export", config, export.run, "export")
    return str(config.path(config.output) / "ebv_cube.nc")


@pytest.fixture(scope="module")
def cube(run_dir):
    return make(run_dir)


def test_every_mandatory_attribute_is_there(cube):
    with netCDF4.Dataset(cube) as file:
        lacking = [name for name in [*MANDATORY, *FURTHER] if not str(getattr(file, name, "")).strip()]
        assert lacking == []
        assert {name: getattr(file, name) for name in FIXED} == FIXED
        for name, wanted in OF_VARIABLES.items():
            assert set(wanted) <= set(file[name].ncattrs()), name
        assert set(OF_METRIC) <= set(file["metric_1"].ncattrs())
        assert set(OF_CUBE) <= set(file["metric_1/ebv_cube"].ncattrs())
        assert file["metric_1/ebv_cube"].grid_mapping == "/crs"
        assert file["metric_1/ebv_cube"].coverage_content_type == "modelResult"
        assert "plots, CC BY 4.0" in file.acknowledgement


def test_dimensions_are_those_of_the_format(cube):
    with netCDF4.Dataset(cube) as file:
        found = file["metric_1/ebv_cube"]
        assert found.dimensions == ("entity", "time", "lat", "lon") and found.shape == (20, 1, 70, 90)
        assert file.dimensions["time"].isunlimited() and not file.dimensions["entity"].isunlimited()
        assert file["entity"].dimensions == ("entity", "nchar")
        assert file["taxonomy_levels"].dimensions == ("nchar_taxonlist", "taxonlevel")
        assert file["taxonomy_table"].dimensions == ("nchar", "entity", "taxonlevel")
        assert file["taxonomy_key"].dimensions == ("nchar_taxonid", "entity")
        assert netCDF4.num2date(file["time"][0], file["time"].units).isoformat() == "2020-07-01T00:00:00"
        assert "projection_x_coordinate" in file["lon"].standard_name and file["lat"].units == "meter"


def test_species_and_their_taxonomy_are_read_as_the_format_reads_them(cube):
    with netCDF4.Dataset(cube) as file:
        file.set_auto_chartostring(False)
        names = [bytes(row.tobytes()).decode().strip() for row in np.asarray(file["entity"][:])]
        assert names == NAMES
        levels = np.asarray(file["taxonomy_levels"][:]).T
        assert [row.tobytes().decode().strip() for row in levels] == ["species", "genus"]
        ranks = np.asarray(file["taxonomy_table"][:]).T  # (taxonlevel, entity, nchar)
        assert [row.tobytes().decode().strip() for row in ranks[:, 2]] == ["Sorbus number0", "Sorbus"]
        keys = np.asarray(file["taxonomy_key"][:]).T
        assert [row.tobytes().decode().strip() for row in keys[:2]] == ["2685484", ""]


def test_it_opens_in_xarray_and_gdal_with_the_numbers_and_place_of_the_map(run_dir, cube):
    expected = Map(run_dir / "map.zarr").read(whole(GRID))
    with xarray.open_datatree(cube, engine="netcdf4") as tree:
        found = tree["metric_1"]["ebv_cube"]
        assert found.dims == ("entity", "time", "lat", "lon")
        np.testing.assert_array_equal(found.values[:, 0], expected)
        np.testing.assert_array_equal(tree["lon"].values, GRID.x)
    with rasterio.open(f"netcdf:{cube}:/metric_1/ebv_cube") as found:
        assert found.crs.to_epsg() == 3035 and tuple(found.bounds) == GRID.bounds
        third = found.read(3, masked=True).filled(np.nan)  # bands run over the entities, of one time each
    np.testing.assert_array_equal(third, expected[2])


def test_scenarios_and_dates_have_groups_and_steps_of_their_own(run_dir):
    cubes = [
        {"map": "later.zarr", "date": "2021-07-01", "scenario": "today"},
        {"map": "map.zarr", "date": "2020-07-01", "scenario": "today"},
        {"map": "warm.zarr", "date": "2020-07-01", "scenario": "warm"},
        {"map": "warm-later.zarr", "date": "2021-07-01", "scenario": "warm"},
    ]
    found = make(run_dir, {"cubes": cubes, "date": None}, species=[NAMES[5], NAMES[0]], output="several")
    with netCDF4.Dataset(found) as file:
        assert file["scenario_2"].standard_name == "warm"
        assert file.time_coverage_start == "2020-07-01" and file.time_coverage_end == "2021-07-01"
        values = np.ma.filled(file["scenario_2/metric_1/ebv_cube"][:], np.nan)
    expected = Map(run_dir / "warm-later.zarr").read(whole(GRID))
    np.testing.assert_array_equal(values[:, 1], expected[[5, 0]])


def test_a_table_gives_the_ranks_of_the_species(run_dir, tmp_path):
    table = tmp_path / "taxa.csv"
    table.write_text("species,genus,family\nAbies alba,Abies,Pinaceae\n")
    found = make(run_dir, {"taxonomy": str(table)}, output="ranks")
    with netCDF4.Dataset(found) as file:
        file.set_auto_chartostring(False)
        ranks = np.asarray(file["taxonomy_table"][:]).T
        assert [row.tobytes().decode().strip() for row in ranks[:, 0]] == ["Abies alba", "Abies", "Pinaceae"]


def test_what_cannot_be_one_cube_is_refused(run_dir):
    with pytest.raises(ValueError, match="ebv: missing"):
        ExportConfig(run_dir=str(run_dir), format="ebv")
    with pytest.raises(ValueError, match="date: expected the day"):
        ExportConfig(run_dir=str(run_dir), format="ebv", ebv={**ABOUT, "date": None})
    make_map(run_dir, "small.zarr", 9, Grid(4_000_000, 3_300_000, 1000, 40, 30))
    cubes = [{"map": "map.zarr", "date": "2020-01-01"}, {"map": "small.zarr", "date": "2021-01-01"}]
    with pytest.raises(InputError, match=r"small\.zarr: lies on another grid than .*map\.zarr"):
        make(run_dir, {"cubes": cubes, "date": None}, output="none")
    with pytest.raises(InputError, match="has no species 'Quercus'"):
        make(run_dir, species=["Quercus"], output="none")


def test_a_tile_that_ends_at_the_edge_of_the_map_is_whole(run_dir, cube):
    edge = Map(run_dir / "map.zarr").read(Window(64, 64, 6, 26), 19)
    with netCDF4.Dataset(cube) as file:
        np.testing.assert_array_equal(np.asarray(file["metric_1/ebv_cube"][19, 0, 64:, 64:]), edge)

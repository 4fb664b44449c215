"""Distributions and ranges in 10-km cells: codes, counts and closed gaps as worked by hand."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from upath import UPath

from sdm_ray import job
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.mapping import export
from sdm_ray.mapping.article17 import close_gaps, crossed
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map

GRID = Grid(4_003_000, 3_298_000, 1000, 60, 40)  # columns of 10 km begin at cells 7, 17, ...; rows at 8, 18, ...


def drawn(rows):
    return np.array([[letter == "x" for letter in row] for row in rows])


@pytest.mark.parametrize(
    ("gap", "before", "after"),
    [
        (4, "x..x", "xxxx"),  # 30 km between centres
        (4, "x...x", "x...x"),  # 40 km are a gap of 40 km
        (5, "x...x", "xxxxx"),
        (5, "x....x", "x....x"),
        (4, "x..x...x", "xxxx...x"),
    ],
)
def test_cells_in_a_row_are_joined_below_the_gap_distance(gap, before, after):
    assert np.array_equal(close_gaps(drawn([before]), gap), drawn([after]))
    assert np.array_equal(close_gaps(drawn([before]).T, gap), drawn([after]).T)


def test_lines_close_the_cells_that_they_cross():
    before = drawn(["x....", ".....", "....x"])  # 20 km south, 40 km east: 44.7 km
    assert np.array_equal(close_gaps(before, 5), drawn(["xx...", ".xxx.", "...xx"]))
    assert np.array_equal(close_gaps(before[:, ::-1], 5), drawn(["xx...", ".xxx.", "...xx"])[:, ::-1])
    assert np.array_equal(close_gaps(before, 4.4), before)


def test_a_line_through_corners_crosses_no_cell_beside_it():
    assert crossed(2, 2) == ((1, 1),) and crossed(1, 1) == () and crossed(0, 3) == ((0, 1), (0, 2))
    assert crossed(1, -2) == ((0, -1), (1, -1))


@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_closed_as_lines_on_polygons_close_them(seed):
    """By shapely: cells whose interior a line between two cells' centres crosses."""
    present = np.random.default_rng(seed).random((9, 11)) < 0.12
    cells = np.array([[shapely.box(col, row, col + 1, row + 1) for col in range(11)] for row in range(9)])
    places = np.argwhere(present)
    expected = present.copy()
    for a in places:
        for b in places:
            if 0 < np.hypot(*(a - b)) < 5:
                line = shapely.LineString([(a[1] + 0.5, a[0] + 0.5), (b[1] + 0.5, b[0] + 0.5)])
                expected |= shapely.length(shapely.intersection(cells, line)) > 1e-9
    assert np.array_equal(close_gaps(present, 5), expected)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """One species in two clusters 40 km apart across a strait, one in a single cell, one nowhere."""
    folder = UPath(tmp_path_factory.mktemp("article17"))
    values = np.full((3, *GRID.shape), 0.1, np.float32)
    values[0, 5, 8:11] = 0.9  # 10kmE401N329: three cells
    values[0, 5, 40] = 0.8  # 10kmE404N329
    values[1, 39, 59] = 0.7
    values[:, :, 20:28] = np.nan  # sea, which covers no whole column of 10 km
    values[:, :, 27:37] = np.nan  # and one that does
    species = pd.DataFrame({"species_id": range(3), "name": ["Abies alba", "Taxus baccata", "Ilex aquifolium"]})
    create_map(folder / "map.zarr", GRID, MapSpec(species, "occurrence", 32, {}, bits=16))
    writer = Map(folder / "map.zarr", writable=True)
    for window in whole(GRID).parts(32, 32):
        writer.write(window, values[:, *window.slices], {})
    artefact.seal(folder / "map.zarr", artefact.Record(kind="map", fingerprint="a" * 32, sources=["plots, CC BY 4.0"]))
    return folder


def make(run_dir, output, **values):
    tracking = {"uri": f"sqlite:///{run_dir}/mlflow.db"}
    config = ExportConfig(run_dir=str(run_dir), tracking=tracking, format="article17", output=output, **values)
    job.execute("export", config, export.run, "export")
    return config.path(config.output)


def test_tables_hold_codes_counts_and_ranges(run_dir):
    output = make(run_dir, "one")
    cells = pd.read_csv(str(output / "cells.csv")).set_index(["species", "cell"])
    fir = cells.loc["Abies alba"]
    assert fir.loc["10kmE401N329", ["status", "map_cells"]].tolist() == ["distribution", 3]
    assert fir.loc["10kmE401N329", "highest_probability"] == pytest.approx(0.9, abs=1e-4)
    assert fir.loc["10kmE402N329", "status"] == "gap"
    assert set(fir.index) == {"10kmE401N329", "10kmE402N329", "10kmE404N329"}  # 10kmE403N329 is sea
    ranges = pd.read_csv(str(output / "ranges.csv")).set_index("species")
    assert ranges.loc["Abies alba", ["distribution_km2", "range_km2"]].tolist() == [200, 300]
    assert ranges.loc["Ilex aquifolium", ["distribution_cells", "range_cells"]].tolist() == [0, 0]
    assert ranges.loc["Taxus baccata", "range_cells"] == 1 and (ranges["gap_km"] == 40).all()
    assert "plots, CC BY 4.0" in (output / "sources.txt").read_text()
    assert (output / "species_per_cell.png").exists()


def test_cells_are_polygons_of_the_reference_grid(run_dir):
    table = pq.read_table(str(make(run_dir, "polygons", pictures=False) / "cells.parquet"))
    about = json.loads(table.schema.metadata[b"geo"])
    assert about["columns"]["geometry"]["crs"]["id"] == {"authority": "EPSG", "code": 3035}
    shapes = dict(zip(table["cell"].to_pylist(), shapely.from_wkb(table["geometry"].to_pylist()), strict=True))
    assert shapes["10kmE404N329"].bounds == (4_040_000, 3_290_000, 4_050_000, 3_300_000)
    assert table.schema.metadata[b"sources"] == b"plots, CC BY 4.0"


def test_gap_distance_and_presence_are_chosen(run_dir):
    def areas(output, **values):
        ranges = pd.read_csv(str(make(run_dir, output, species=["Abies alba"], article17=values) / "ranges.csv"))
        return ranges[["distribution_cells", "range_cells"]].iloc[0].tolist()

    assert areas("unclipped", clip=False) == [2, 4]
    assert areas("near", gap_km=30) == [2, 2]
    assert areas("several", min_cells=2) == [1, 1]
    assert areas("higher", threshold=0.85) == [1, 1]


def test_thresholds_come_from_an_evaluation_by_name(run_dir):
    place = run_dir / "evaluation"
    place.mkdir(exist_ok=True)
    table = {"species": ["Abies alba", "Taxus baccata"], "surveys": [9, 9], "max_tss": [0.85, 0.6]}
    (place / "thresholds.csv").write_text(pd.DataFrame({**table, "surveys above max_tss": [3, 2]}).to_csv(index=False))
    artefact.seal(place, artefact.Record(kind="evaluation", fingerprint="e" * 32))
    output = make(run_dir, "named", article17={"threshold": "max_tss", "evaluation": "evaluation"})
    ranges = pd.read_csv(str(output / "ranges.csv")).set_index("species")
    assert ranges["distribution_cells"].iloc[:2].tolist() == [1, 1]
    assert np.isnan(ranges.loc["Ilex aquifolium", "range_km2"])
    with pytest.raises(InputError, match="evaluation has no 'kappa'; found max_tss"):
        make(run_dir, "none", article17={"threshold": "kappa", "evaluation": "evaluation"})
    with pytest.raises(ValueError, match="the name of a threshold and an `evaluation`"):
        ExportConfig(run_dir=str(run_dir), article17={"threshold": "max_tss"})


def test_cells_outside_the_area_of_applicability_can_be_left_out(run_dir):
    with pytest.raises(InputError, match="has no layer inside_aoa"):
        make(run_dir, "none", article17={"applicable_only": True})
    values = np.full((1, *GRID.shape), 0.9, np.float32)
    inside = np.zeros(GRID.shape, np.uint8)
    inside[:, :17] = 1  # the first two columns of 10 km
    species = pd.DataFrame({"species_id": [0], "name": ["Abies alba"]})
    layers = {"inside_aoa": Layer("uint8", 255, {})}
    create_map(run_dir / "applicable.zarr", GRID, MapSpec(species, "occurrence", 64, layers))
    Map(run_dir / "applicable.zarr", writable=True).write(whole(GRID), values, {"inside_aoa": inside})
    artefact.seal(run_dir / "applicable.zarr", artefact.Record(kind="map", fingerprint="b" * 32))
    output = make(run_dir, "applicable", map="applicable.zarr", article17={"applicable_only": True})
    assert pd.read_csv(str(output / "cells.csv"))["cell"].str.slice(4, 8).unique().tolist() == ["E400", "E401"]


def test_cells_that_are_no_parts_of_10_km_are_refused(tmp_path):
    species = pd.DataFrame({"species_id": [0], "name": ["Abies alba"]})
    grid = Grid(4_000_000, 3_300_000, 3000, 40, 40)
    create_map(UPath(tmp_path) / "map.zarr", grid, MapSpec(species, "occurrence", 64, {}))
    artefact.seal(UPath(tmp_path) / "map.zarr", artefact.Record(kind="map", fingerprint="a" * 32))
    with pytest.raises(InputError, match=r"map\.zarr: cells of 3000 m are no parts of 10-km cells"):
        make(UPath(tmp_path), "none")

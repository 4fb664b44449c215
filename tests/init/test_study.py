"""Settings that follow from surveys and rasters."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.own_study import SPECIES, write_own_study

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import misfit
from sdm_ray.geo.grid import grid_of, to_xy
from sdm_ray.init.layers import read_own_rasters
from sdm_ray.init.stated import Stated
from sdm_ray.init.study import occupied, plan
from sdm_ray.init.table import read_own_table


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    table, rasters = write_own_study(tmp_path_factory.mktemp("own"))
    return read_own_table(str(table), Stated()), read_own_rasters([str(each) for each in rasters], Stated())


def test_cells_blocks_and_training_fit_the_data(own):
    study = plan(*own, None)
    assert study.resolution_m == 1000  # pixels of 937 m
    grid = grid_of(study.bounds, study.resolution_m)
    assert grid.bounds == study.bounds and misfit(study.blocks, grid) is None
    surveys = study.table.surveys
    x, y = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
    assert grid.contains(*grid.cell(x, y)).all()
    assert occupied(study) >= 2 * study.blocks.folds
    assert study.batch * study.epochs >= 1000  # enough steps for a network of few surveys
    assert min(study.wavelengths_km) >= 2 * study.blocks.size_m / 1000
    assert study.species == len(SPECIES) and not study.relative and study.in_process


def test_a_map_is_never_too_large(own):
    table, rasters = own
    fine = [replace(each, pixel=10.0) for each in rasters]
    study = plan(table, fine, None)
    columns, rows = study.cells
    assert columns * rows <= 4_100_000
    assert study.blocks.size_m % study.resolution_m == 0


def test_rare_species_are_left_out_unless_all_are_rare(own):
    table, rasters = own
    surveys = table.surveys.assign(species=[[0] if n < 9 else [1] for n in range(len(table.surveys))])
    study = plan(replace(table, surveys=surveys, species=["rare", "common"]), rasters, None)
    assert (study.min_records, study.species) == (10, 1)
    few = surveys.iloc[:9].assign(species=[[0]] * 9)
    assert plan(replace(table, surveys=few, species=["rare"]), rasters, None).min_records == 1


def test_a_side_that_does_not_fit_the_blocks_is_refused(own):
    assert plan(*own, 2000).resolution_m == 2000
    with pytest.raises(InputError, match=r"--resolution 3000: expected a side that divides blocks of 10000 m"):
        plan(*own, 3000)


def test_margins_end_where_the_rasters_end(own):
    table, rasters = own
    west, south, east, north = np.array([each.extent for each in rasters]).T
    found = plan(table, rasters, None).bounds
    assert found[0] >= west.min() - 1000 and found[1] >= south.min() - 1000
    assert found[2] <= east.max() + 1000 and found[3] <= north.max() + 1000

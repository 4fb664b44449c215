import numpy as np
import pytest
from helpers.management import parcels
from helpers.parcel_files import config_of, write_table
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import grid_of
from sdm_ray.impact.covariates import read_covariates
from sdm_ray.impact.units import read_units
from sdm_ray.stores.covariates import write_covariates


@pytest.fixture
def path(tmp_path):
    units, years, outcome = parcels(30, years=(2006, 2017), seed=1)
    write_table(tmp_path / "units.csv", units.assign(code=[1, 2, 5] * 10), outcome, years)
    return tmp_path / "units.csv"


def design(path, covariates, **changed):
    config = config_of(path, covariates=covariates, **changed)
    return read_covariates(config, read_units(config)), read_units(config)


def test_numbers_stay_and_text_and_codes_become_classes(path):
    found, units = design(path, {"columns": ["warmth", "soil", "code"], "classes": ["code"]})
    assert found.names[0] == "warmth" and len(found.names) == 5
    assert found.names[3:] == ("code=2", "code=5") and found.values[:3, 3].tolist() == [0, 1, 0]
    words = {name.partition("=")[2] for name in found.names[1:3]}
    assert len(words) == 2 and words < set(units.table["soil"])


def test_too_many_classes(tmp_path):
    path = tmp_path / "many.csv"
    write_table(path, *parcels(60, years=(2006, 2017))[::2], (2006, 2017))
    with pytest.raises(InputError, match="column parcel holds 60 classes such as"):
        design(path, {"columns": ["parcel"]})


def test_the_store_is_read_at_the_units(path):
    units = read_units(config_of(path))
    grid = grid_of((units.x.min(), units.y.min(), units.x.max(), units.y.max()), 10_000)
    values = np.stack([np.broadcast_to(np.arange(grid.width), grid.shape), np.ones(grid.shape)]).astype(np.float32)
    values[0, :, 0] = np.nan
    store = UPath(path.parent / "covariates.zarr")
    write_covariates(store, grid, ["east", "one"], values, 10_000.0)
    found, _ = design(path, {"store": str(store), "names": ["east"]})
    col = grid.cell(units.x, units.y)[1]
    assert np.array_equal(found.values[:, 0], np.where(col == 0, np.nan, col), equal_nan=True)


def test_groups_of_equal_values(path):
    found, units = design(path, {"columns": ["warmth"]}, matching={"exact": ["soil", "code"]})
    pairs = list(zip(units.table["soil"], units.table["code"], strict=True))
    assert len(set(found.exact)) == len(set(pairs))
    assert all((found.exact[i] == found.exact[j]) == (pairs[i] == pairs[j]) for i in range(30) for j in range(30))

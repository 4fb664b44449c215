"""Time series of surveys: what is written comes back by survey, what is not known says so."""

import numpy as np
import pytest
import xarray as xr
import zarr
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores import raster, series
from sdm_ray.stores.series import BLOCK, Series, SeriesSpec, create_series, write_rows

SPECS = {
    "light": SeriesSpec({"band": ("red", "nir"), "quarter": (1, 2, 3, 4)}, {"units": "1"}),
    "rain": SeriesSpec({"month": (1, 2, 3)}),
}
ROWS = BLOCK + 10


@pytest.fixture
def written(tmp_path):
    """Two blocks; survey i has i in its first number, every third has no light, the last no rain."""
    path = UPath(tmp_path / "series.zarr")
    create_series(path, [f"s{number}" for number in range(ROWS)], SPECS)
    light = np.arange(ROWS, dtype=np.float32)[:, None, None] + np.arange(8, dtype=np.float32).reshape(2, 4) / 10
    light[::3] = np.nan
    rain = np.tile(np.arange(ROWS, dtype=np.float32)[:, None], 3)
    rain[-1] = np.nan
    rain[5, 2] = np.nan
    for start in (BLOCK, 0):  # in any order
        write_rows(path, start, {"light": light[start : start + BLOCK], "rain": rain[start : start + BLOCK]})
    raster.consolidate(path)
    return path, light, rain


def test_series_come_back_in_the_order_asked_for(written):
    path, light, rain = written
    stored = Series(path)
    asked = [ROWS - 1, 5, 3, BLOCK, 5, 0]
    values, known = stored.at([f"s{number}" for number in asked])
    np.testing.assert_array_equal(values["light"], light[asked])
    np.testing.assert_array_equal(values["rain"], rain[asked])
    assert known["light"].tolist() == [number % 3 != 0 for number in asked]
    assert known["rain"].tolist() == [False, True, True, True, True, True]  # a gap is not the want of a series


def test_a_survey_without_a_row_is_unknown(written):
    values, known = Series(written[0]).at(["nobody", "s1"])
    assert known["light"].tolist() == known["rain"].tolist() == [False, True]
    assert np.isnan(values["light"][0]).all()
    values, known = Series(written[0]).at([])
    assert values["rain"].shape == (0, 3)
    assert known["rain"].shape == (0,)


def test_each_chunk_is_read_once(written, monkeypatch):
    read = []
    get = zarr.storage.LocalStore.get

    async def counted(self, key, *args, **kwargs):
        read.append(key)
        return await get(self, key, *args, **kwargs)

    stored = Series(written[0])
    monkeypatch.setattr(zarr.storage.LocalStore, "get", counted)
    stored.at([f"s{number}" for number in (7, BLOCK + 1, 8, BLOCK + 2, 7)])
    assert sorted(key for key in read if "/c/" in key) == ["light/c/0/0/0", "light/c/1/0/0", "rain/c/0/0", "rain/c/1/0"]


def test_readers_without_us_find_the_axes(written):
    opened = xr.open_zarr(str(written[0]))
    assert opened["light"].dims == ("survey", "band", "quarter")
    assert opened["light"].sel(band="nir", quarter=2).to_numpy()[1] == pytest.approx(1.5)
    assert opened["light"].coords["survey_id"].to_numpy()[ROWS - 1] == f"s{ROWS - 1}"
    assert Series(written[0]).axes("light")["band"] == ("red", "nir")
    assert opened["light"].attrs["units"] == "1"


@pytest.mark.parametrize(("start", "rows"), [(1, 10), (0, BLOCK - 1), (BLOCK, 9), (0, BLOCK + 10)])
def test_blocks_are_whole_chunks(written, start, rows):
    with pytest.raises(ValueError, match="no block of"):
        write_rows(written[0], start, {"rain": np.zeros((rows, 3), np.float32)})


def test_what_is_no_group_of_series_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent: no Zarr v3 group"):
        Series(UPath(tmp_path / "absent"))
    raster.open_root(UPath(tmp_path / "other"))
    with pytest.raises(InputError, match=r"other: is no group of time series"):
        Series(UPath(tmp_path / "other"))
    with pytest.raises(InputError, match="survey a stands more than once"):
        series.create_series(UPath(tmp_path / "twice"), ["a", "b", "a"], SPECS)

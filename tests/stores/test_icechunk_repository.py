"""Versions of maps: readers see whole ones, older ones stay, and processes write side by side."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import icechunk_repository
from sdm_ray.stores.maps import Map, MapSpec, create_map

icechunk = pytest.importorskip("icechunk", reason="an extra of sdm-ray, `versions`")

GRID = Grid(4_000_000, 3_200_000, 1000, 256, 128)
SPEC = MapSpec(pd.DataFrame({"species_id": [0, 1], "name": ["a", "b"]}), "occurrence", 128, {})


@pytest.fixture
def begun(tmp_path):
    """Begins an artefact whose map is kept in one repository."""

    def begin(name: str) -> UPath:
        place = UPath(tmp_path) / name
        place.mkdir()
        icechunk_repository.start(place, UPath(tmp_path) / "repository", name)
        with icechunk_repository.changing(place, "empty"):
            create_map(place, GRID, SPEC)
        return place

    return begin


def fill(place: UPath, col: int, value: float) -> None:
    window = Window(0, col, 128, 128)
    Map(place, writable=True).write(window, np.full((2, 128, 128), value, np.float32), {})


def main_of(tmp_path) -> xarray.Dataset:
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "repository")))
    return xarray.open_zarr(repository.readonly_session("main").store, group="0", consolidated=False)


def test_readers_see_the_version_before_until_one_is_whole(begun, tmp_path):
    first = begun("first.zarr")
    for col in (0, 128):
        with icechunk_repository.changing(first, "half"):
            fill(first, col, 0.25)
    made = icechunk_repository.publish(first)["version"]
    assert made == icechunk_repository.publish(first)["version"]
    second = begun("second.zarr")
    with icechunk_repository.changing(second, "half"):
        fill(second, 0, 0.75)
    assert main_of(tmp_path).probability.values.max() == pytest.approx(0.25, abs=0.002)
    assert np.isnan(Map(second).read(whole(GRID))[0, 0, 255])
    assert icechunk_repository.publish(second)["version"] != made
    assert main_of(tmp_path).probability.values[0, 0, 0] == pytest.approx(0.75, abs=0.002)
    for place, value in ((first, 0.25), (second, 0.75)):  # each artefact is its own version
        assert Map(place).read(whole(GRID))[0, 0, 0] == pytest.approx(value, abs=0.002)


def test_processes_write_with_sessions_of_their_own(begun):
    """What each wrote is merged, also when another commit came between; what was not merged is not there."""
    place = begun("map.zarr")
    sent = pickle.dumps(icechunk_repository.fork(place))
    sessions = []
    for col, value in ((0, 0.1), (128, 0.9)):
        session = pickle.loads(sent)
        with icechunk_repository.writing(place, session):
            fill(place, col, value)
        assert np.isnan(Map(place).read(whole(GRID))[0, 0, col])
        sessions.append(pickle.loads(pickle.dumps(session)))
    for session in sessions:
        icechunk_repository.merge(place, [session], "a tile")
    values = Map(place).read(whole(GRID))[1, 5]
    np.testing.assert_allclose(values[[0, 127, 128, 255]], [0.1, 0.1, 0.9, 0.9], atol=0.002)


def test_a_published_version_is_continued_on_a_branch_of_its_own(begun, tmp_path):
    """The job was killed between publishing and sealing: it starts once more."""
    place = begun("map.zarr")
    with icechunk_repository.changing(place, "a tile"):
        fill(place, 0, 0.5)
    before = icechunk_repository.publish(place)["version"]
    with pytest.raises(ValueError, match="never changes"), icechunk_repository.changing(place, "more"):
        pass
    icechunk_repository.start(place, UPath(tmp_path) / "repository", "map.zarr")
    with icechunk_repository.changing(place, "more"):
        fill(place, 128, 0.5)
    assert icechunk_repository.publish(place)["version"] != before
    assert np.isfinite(Map(place).read(whole(GRID))).all()


def test_a_moved_run_folder_still_finds_its_repository(begun, tmp_path):
    place = begun("map.zarr")
    icechunk_repository.publish(place)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert np.isnan(Map(UPath(moved) / "map.zarr").read(whole(GRID))).all()


def test_what_is_no_repository_is_one_line(tmp_path):
    place = UPath(tmp_path) / "map.zarr"
    place.mkdir()
    with pytest.raises(InputError, match=r"expected a local path, s3:// or gs:// for an Icechunk repository"):
        icechunk_repository.start(place, UPath("memory://maps"), "map")
    (place / "repository.json").write_text(json.dumps({"branch": "map"}))
    with pytest.raises(InputError, match=r"repository.json: names no repository"):
        Map(place)


def test_plain_groups_are_left_alone(tmp_path):
    place = UPath(tmp_path) / "map.zarr"
    with icechunk_repository.changing(place, "nothing"):
        create_map(place, GRID, SPEC)
    assert icechunk_repository.fork(place) is None and icechunk_repository.publish(place) == {}
    fill(place, 0, 0.5)
    assert Map(place).read(whole(GRID))[0, 0, 0] == pytest.approx(0.5, abs=0.002)

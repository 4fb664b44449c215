import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.planted_errors import SPECIES, planted, surveys
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import whole
from sdm_ray.indicators.error_model import ErrorModel, read_error_model, write_error_model
from sdm_ray.indicators.errors_config import ErrorsConfig
from sdm_ray.indicators.errors_job import run
from sdm_ray.job import execute
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Map, MapSpec, create_map
from sdm_ray.stores.surveys import write_surveys

BLOCKS = {
    "size_m": 50_000, "folds": 2, "seed": 1, "origin": [0, 0], "buffer_m": 0, "validation": 0.1, "calibrate": 0.1,
}  # fmt: skip
HELD_OUT = {"crossfitted": True, "held_out": "blocks", "blocks": BLOCKS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A map of 1-km cells, and surveys at the centres of some of them."""
    place = UPath(tmp_path_factory.mktemp("errors"))
    grid = Grid(4_000_000, 2_200_000, 2000, 100, 100)
    data = surveys(planted(), count=1500, side=200_000)
    rows, cols = grid.cell(data.x, data.y)
    values = np.full((6, 100, 100), np.nan, np.float32)
    values[:, rows, cols] = data.probability.T  # the last survey of a cell decides
    species = pd.DataFrame({"species_id": range(6), "name": SPECIES, "gbif_key": range(6)})
    for name, attrs, kind in (
        ("map", HELD_OUT, "occurrence"),
        ("all", {}, "occurrence"),
        ("ranks", HELD_OUT, "relative"),
    ):
        create_map(place / name, grid, MapSpec(species, kind, 128, {}, attrs={"sdm_ray": attrs}))
        Map(place / name, writable=True).write(whole(grid), values, {})
        artefact.seal(place / name, artefact.Record(kind="map", fingerprint=name))
    lon, lat = to_lonlat(data.x, data.y)
    table = pd.DataFrame({"survey_id": range(1500), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0})
    table["species"] = [np.flatnonzero(each).astype(np.int32) for each in data.labels]
    table.loc[0, ["lon", "lat"]] = 20.0, 60.0  # outside the map
    write_surveys(place / "surveys.parquet", table, species, "occurrence")
    artefact.seal(place / "surveys.parquet", artefact.Record(kind="surveys", fingerprint="s", sources=["made up"]))
    return place


def config(folder, **values):
    values = {"map": "map", "ranges_km": [20], "factors": 1, "pairs": 2000, "zones_km": [0, 20], "draws": 50} | values
    return ErrorsConfig(run_dir=str(folder), tracking={"uri": f"sqlite:///{folder}/mlflow.db"}, **values)


def test_the_job_writes_the_model_and_how_often_its_intervals_hold(folder):
    execute("errors", config(folder), run, "errors")
    model, about = read_error_model(folder / "errors")
    assert model.species == tuple(SPECIES) and model.ranges_m == (20_000.0, float("inf"))
    assert about["surveys"] == 1499 and set(about["variance_by_range"]) == {"20 km", "everywhere", "one place"}
    table = pd.read_csv(str(folder / "errors" / "coverage.csv"))
    assert table[["zone_km", "quantity"]].to_numpy().tolist() == [
        [0.0, "richness"], [0.0, "species"], [20.0, "richness"], [20.0, "species"],
    ]  # fmt: skip
    assert table["intervals"].tolist()[:1] == [1499]
    record = json.loads((folder / "errors" / "artefact.json").read_text())
    assert record["sources"] == ["made up"] and record["figures"]["surveys"] == 1499


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"map": "all"}, r"all: its models saw the surveys .* expected a map made with `crossfit: true`"),
        ({"map": "ranks"}, r"ranks: intervals: the probabilities are of kind 'relative'"),
    ],
)
def test_maps_whose_errors_cannot_be_known_are_refused(folder, values, message):
    with pytest.raises(InputError, match=message):
        run(config(folder, **values), None)


def test_species_without_errors_and_folders_without_a_model_are_named(tmp_path):
    with pytest.raises(InputError, match=r"errors: has no errors of 'Quercus robur' \(1 of 2 species are missing\)"):
        planted().select([SPECIES[0], "Quercus robur"], "errors")
    with pytest.raises(InputError, match=r"holds no error model; expected an artefact of `sdm-ray errors`"):
        read_error_model(UPath(tmp_path))
    assert isinstance(planted().select([SPECIES[3]], "errors"), ErrorModel)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("error_model.json", b"[]"),
        ("error_model.json", b'{"species": ["a"], "ranges_m": [[]]}'),
        ("error_model.json", b'{"species": true, "ranges_m": [1]}'),
        ("error_model.json", b"\xeb"),
        ("error_model.safetensors", b"\x00"),
    ],
)
def test_a_damaged_error_model_is_one_line(tmp_path, file, content):
    folder = UPath(tmp_path / "errors")
    folder.mkdir()
    write_error_model(folder, planted(), {"levels": [0.9]})
    assert read_error_model(folder)[0].species == planted().species
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=r"errors: is damaged, or no error model"):
        read_error_model(folder)


def test_an_error_model_whose_arrays_do_not_fit_its_species_is_one_line(tmp_path):
    model = planted()
    write_error_model(UPath(tmp_path), replace(model, species=model.species[1:]), {})
    with pytest.raises(InputError, match=r"do not fit \d+ ranges and \d+ species"):
        read_error_model(UPath(tmp_path))

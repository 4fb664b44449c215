"""A model in a notebook, and the same model as MLflow gives it back."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from upath import UPath

import sdm_ray
from sdm_ray import tracking
from sdm_ray.config import JobConfig, TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import whole
from sdm_ray.model_io import Imagery, Photos, SpeciesFolder, describe_species, load_species_model, read_species_folder
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.weights import save_weights

GRID = Grid(x0=4_000_000, y1=3_010_000, resolution=1000, width=10, height=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> UPath:
    torch.manual_seed(0)
    config = SpeciesConfig(
        location={"wavelengths_km": [100], "hidden": 8, "depth": 1, "dim": 4},
        satellite={"name": "test_convnext2", "bands": 1, "mean": [100], "std": [10], "dim": 4},
        covariates=("warmth", "rain"),
        hidden=8,
        embedding=4,
    )
    species = pd.DataFrame({"species_id": [0, 1], "name": ["Abies alba", "Picea abies"], "gbif_key": [1, 2]})
    about = SpeciesFolder(config, species, "recorded", Blocks(), None, 0, Imagery(("red",), 32), "none")
    place = UPath(tmp_path_factory.mktemp("model"))
    model = SpeciesModel(config, 2)
    torch.nn.init.normal_(model.missing["covariates"])
    save_weights(place, model.state_dict(), describe_species(about), species, {})
    return place


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return np.column_stack(to_lonlat(np.array([4_000_500.0, 4_003_500.0]), np.array([3_009_500.0, 3_000_500.0])))


def test_three_lines_give_a_table(folder, places):
    model = sdm_ray.load_model(str(folder))
    found = model.predict(places)
    assert found.columns.tolist() == ["Abies alba", "Picea abies"] == model.species
    assert ((found > 0) & (found < 1)).all(axis=None)
    assert found.index.names == ["lon", "lat", "inputs"]
    assert found.index.get_level_values("inputs").tolist() == ["location", "location"]
    assert found.attrs["probability_kind"] == "recorded"
    assert model.predict(places[0]).shape == (1, 2)
    assert model.predict(places[:0]).shape == (0, 2)


def test_covariates_come_from_a_store_or_a_table(folder, places, tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 10, 10)).astype(np.float32)
    values[:, 9, 3] = np.nan
    write_covariates(UPath(tmp_path / "covariates.zarr"), GRID, ["rain", "other", "warmth"], values, 1000)
    model = sdm_ray.load_model(str(folder))
    found = model.predict(places, covariates=str(tmp_path / "covariates.zarr"))
    assert found.index.get_level_values("inputs").tolist() == ["location covariates", "location"]
    table = pd.DataFrame({"rain": values[0, [0, 9], [0, 3]], "warmth": values[2, [0, 9], [0, 3]]})
    assert model.predict(places, covariates=table).equals(found)
    joined = table.assign(lon=places[:, 0], lat=places[:, 1])
    assert model.predict(joined).equals(found)
    bare = model.predict(places)
    assert not np.allclose(bare.iloc[0], found.iloc[0]) and np.allclose(bare.iloc[1], found.iloc[1])


def test_a_model_may_go_by_the_covariates_that_are_known(folder, places, tmp_path):
    loaded = load_species_model(folder)
    config = loaded.config.model_copy(update={"partial_covariates": True})
    about = replace(loaded.about, config=config)
    save_weights(UPath(tmp_path), loaded.model.state_dict(), describe_species(about), about.species, {})
    table = pd.DataFrame(places, columns=["lon", "lat"]).assign(warmth=[1.0, np.nan], rain=[np.nan, np.nan])
    whole, partly = (sdm_ray.load_model(str(each)).predict(table) for each in (folder, tmp_path))
    assert whole.index.get_level_values("inputs").tolist() == ["location", "location"]
    assert partly.index.get_level_values("inputs").tolist() == ["location covariates", "location"]
    np.testing.assert_array_equal(whole.iloc[1], partly.iloc[1])
    assert not np.allclose(whole.iloc[0], partly.iloc[0])


def test_classes_are_given_by_their_code(tmp_path, places):
    """A model of the classes 1 and 5 takes their codes from a table's column, and shares as a store has them."""
    config = SpeciesConfig(
        location={"wavelengths_km": [100], "hidden": 8, "depth": 1, "dim": 4},
        covariates=("cover=1", "cover=5"),
        hidden=8,
        embedding=4,
    )
    species = pd.DataFrame({"species_id": [0], "name": ["Abies alba"], "gbif_key": [1]})
    about = SpeciesFolder(config, species, "recorded", Blocks(), None, 0, None, "none")
    save_weights(UPath(tmp_path), SpeciesModel(config, 1).state_dict(), describe_species(about), species, {})
    model = sdm_ray.load_model(str(tmp_path))
    lonlat = pd.DataFrame(places, columns=["lon", "lat"])
    shares = model.predict(lonlat.assign(**{"cover=1": [0.0, 1.0], "cover=5": [1.0, 0.0]}))
    codes = model.predict(lonlat.assign(cover=[5, 1]))
    assert "covariates" in codes.index.get_level_values("inputs")[0]
    np.testing.assert_array_equal(codes, shares)
    assert model.predict(lonlat.assign(cover=[np.nan, 1])).index.get_level_values("inputs")[0] == "location"


def test_a_cube_is_looked_at_where_it_has_data(folder, places, tmp_path):
    grid = Grid(x0=4_000_000, y1=3_010_000, resolution=100, width=64, height=64)
    create_cube(UPath(tmp_path / "cube.zarr"), grid, ["2021"], ["red"], chunk=32, shard=64)
    pixels = np.random.default_rng(0).integers(50, 150, (1, 64, 64)).astype(np.uint16)
    Cube(UPath(tmp_path / "cube.zarr"), writable=True).write(whole(grid), 0, pixels, np.ones((64, 64), np.uint8))
    found = sdm_ray.load_model(str(folder)).predict(places, cube=str(tmp_path / "cube.zarr"))
    assert found.index.get_level_values("inputs").tolist() == ["location satellite", "location"]


@pytest.mark.parametrize(
    ("lonlat", "message"),
    [
        ([[8.0, 50.0], [8.0, 95.0]], r"row 2 is \(8, 95\), expected WGS84 degrees, longitude first"),
        ([[8.0, 50.0], [50.0, 8.0]], r"row 2 is \(50, 8\), which lies in Europe only with longitude and latitude exch"),
        ([[np.nan, 8.0]], "row 1"),
        ([[0.0, 0.0]], "row 1 .* stands for no coordinates"),
        ([[4_000_000.0, 3_000_000.0]], "expected WGS84 degrees, not metres"),
        ([["8", "fifty"]], "lonlat: holds what is no number"),
        ([[-61.0, 16.2]], r"lonlat: a place lies 7,3\d\d km from the middle of EPSG:3035"),
        (
            pd.DataFrame({"lon": [8.0, 9.0], "lat": [50.0, "N 50"]}),
            "lonlat: column lat, row 2 holds 'N 50'",
        ),
        ([[1.0, 2.0, 3.0]], "two columns"),
        (pd.DataFrame({"longitude": [1.0], "lat": [2.0]}), "lonlat: has no lon; found longitude, lat"),
    ],
)
def test_what_is_no_place_is_named(folder, lonlat, message):
    with pytest.raises(InputError, match=message):
        sdm_ray.load_model(str(folder)).predict(lonlat)


def test_inputs_that_do_not_fit_are_named(folder, places):
    model = sdm_ray.load_model(str(folder))
    with pytest.raises(InputError, match="has no warmth; found rain"):
        model.predict(places, covariates=pd.DataFrame({"rain": [1.0, 2.0]}))
    with pytest.raises(InputError, match="1 rows for 2 places"):
        model.predict(places, covariates=pd.DataFrame({"rain": [1.0], "warmth": [2.0]}))


def test_a_path_is_as_good_as_its_text(folder, places, tmp_path):
    write_covariates(UPath(tmp_path / "c.zarr"), GRID, ["rain", "warmth"], np.ones((2, 10, 10), np.float32), 1000)
    by_text = sdm_ray.load_model(str(folder)).predict(places, str(tmp_path / "c.zarr"))
    by_path = sdm_ray.load_model(Path(str(folder))).predict(places, tmp_path / "c.zarr")
    assert by_path.equals(by_text) and "covariates" in by_path.index[0][2]


def test_covariates_that_are_no_numbers_are_named_by_row(folder, places):
    table = pd.DataFrame(places, columns=["lon", "lat"]).assign(warmth=[1.0, 2.0], rain=["3", "wet"])
    with pytest.raises(InputError, match="column rain, row 2 holds 'wet', expected a number"):
        sdm_ray.load_model(str(folder)).predict(table)


def test_far_places_are_predicted_if_forced(folder):
    model = sdm_ray.load_model(str(folder))
    assert model.predict([[55.5, -21.1], [45.3, 2.0]], force=True).notna().all(axis=None)


def test_places_far_outside_the_surveys_region_are_warned_of(folder, places, tmp_path):
    """Surveys within 200 km by 100 km: 30 km beyond is a tenth of the diagonal and more."""
    text = yaml.safe_load((folder / "config.yaml").read_text())
    shutil.copytree(str(folder), str(tmp_path / "known"))
    text["region"] = [4_000_000.0, 3_000_000.0, 4_200_000.0, 3_100_000.0]
    (tmp_path / "known" / "config.yaml").write_text(yaml.safe_dump(text))
    model = sdm_ray.load_model(tmp_path / "known")
    x, y = np.array([4_000_500.0, 4_220_000.0, 4_230_000.0]), np.array([3_050_000.0] * 3)
    asked = np.column_stack(to_lonlat(x, y))
    with warnings.catch_warnings(action="error"):
        model.predict(asked[:2])
        sdm_ray.load_model(str(folder)).predict(asked)  # a former release noted no region
    with pytest.warns(UserWarning, match=r"1 of 3 places .* 200 km by 100 km around .*; row 3 by 30 km"):
        model.predict(asked)


def test_a_cube_for_a_tower_of_image_shards_is_refused(folder, places, tmp_path):
    about = replace(read_species_folder(folder), satellite=None, photos={"satellite": Photos(32)})
    shutil.copytree(str(folder), str(tmp_path / "shown"))
    (tmp_path / "shown" / "config.yaml").write_text(yaml.safe_dump({"format_version": 2, **describe_species(about)}))
    with pytest.raises(InputError, match=r"c\.zarr: expected .* on a cube, found one that was trained on image"):
        sdm_ray.load_model(tmp_path / "shown").predict(places, cube="c.zarr")


def test_mlflow_gives_the_model_back(folder, places, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = JobConfig(run_dir=str(tmp_path / "trees"), output="model", tracking=TrackingConfig(uri=uri))
    columns = {"lon": True, "lat": True, "warmth": False, "rain": False}
    for _ in range(2):  # the second is another version
        with tracking.start(config, "finetune") as tracker:
            tracker.model(folder, "sdm_ray.predictor", columns, "model")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    expected = sdm_ray.load_model(str(folder)).predict(places)
    for place in (f"runs:/{tracker.run_id}/model", "models:/trees-model/2"):
        assert sdm_ray.load_model(place).predict(places).equals(expected)
    served = mlflow.pyfunc.load_model(f"runs:/{tracker.run_id}/model")
    table = pd.DataFrame(places, columns=["lon", "lat"])
    assert served.predict(table).equals(expected.reset_index(drop=True))
    with pytest.raises(mlflow.exceptions.MlflowException, match="lat"):
        served.predict(table[["lon"]])
    with pytest.raises(InputError, match="models:/trees-model/9: MLflow does not have it"):
        sdm_ray.load_model("models:/trees-model/9")

"""Paths in YAML files: next to the file first, then in the working folder; the message names both."""

import pytest

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.mapping.config import MapConfig, PredictConfig
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.tune.config import TuneConfig

TABLE = "surveys: {source: tables, table: %s, probability_kind: occurrence}\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder of YAML files, and another that one works in."""
    for name in ("study", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def prepare(study, text):
    (study / "study" / "prepare.yaml").write_text(text)
    return load(study / "study" / "prepare.yaml", PrepareConfig)


def test_a_file_next_to_the_yaml_file_comes_before_one_in_the_working_folder(study):
    (study / "work" / "a.csv").write_text("there")
    assert prepare(study, TABLE % "a.csv").surveys[0].table == "a.csv"
    (study / "study" / "a.csv").write_text("here")
    assert prepare(study, TABLE % "a.csv").surveys[0].table == str(study / "study" / "a.csv")
    (study / "a.csv").write_text("above")
    assert prepare(study, TABLE % "../a.csv").surveys[0].table == str(study / "study" / "../a.csv")


def test_a_file_in_neither_place_is_one_line_that_names_both(study):
    with pytest.raises(InputError) as caught:
        prepare(study, TABLE % "none.csv")
    message = str(caught.value)
    assert "prepare.yaml: surveys.0.tables: table: none.csv: no such file in" in message and "\n" not in message
    assert str(study / "study") in message and str(study / "work") in message


def test_a_file_that_is_downloaded_need_not_be_there(study):
    fetched = TABLE.replace("}", ", download: {table: {url: 'https://example.org/a.csv', sha256: '%s'}}}" % ("0" * 64))
    assert prepare(study, fetched % "none.csv").surveys[0].table == "none.csv"


def test_urls_absolute_paths_and_home(study):
    for name in ("s3://bucket/a.csv", "/somewhere/a.csv"):
        assert prepare(study, TABLE % name).surveys[0].table == name
    assert prepare(study, TABLE % "~/a.csv").surveys[0].table == str(study / "home" / "a.csv")


def test_rasters_by_pattern_and_inside_what_gdal_opens(study):
    for name in ("b1.tif", "b2.tif", "c.nc"):
        (study / "study" / name).write_text("")
    found = prepare(study, "covariates: {source: rasters, rasters: ['b*.tif', {file: 'NETCDF:c.nc:t2m'}]}").covariates
    at = study / "study"
    assert [each.file for each in found.expanded()] == [f"{at}/b1.tif", f"{at}/b2.tif", f"NETCDF:{at}/c.nc:t2m"]
    with pytest.raises(InputError, match=r"rasters.0: d\*\.tif: no such file in .*study.* or in .*work"):
        prepare(study, "covariates: {source: rasters, rasters: ['d*.tif']}")


def test_run_folder_and_artefacts_lie_where_they_did(study):
    (study / "study" / "surveys.parquet").write_text("not an artefact of the run")
    (study / "study" / "finetune.yaml").write_text("run_dir: out\ncovariates: c.zarr\n")
    config = load(study / "study" / "finetune.yaml", FinetuneConfig)
    assert str(config.path(config.surveys)) == str(study / "work" / "out" / "surveys.parquet")
    (study / "study" / "finetune.yaml").write_text("run_dir: ~/out\ncovariates: ~/c.zarr\n")
    config = load(study / "study" / "finetune.yaml", FinetuneConfig)
    assert config.run_dir == str(study / "home" / "out")
    assert str(config.path(config.covariates)) == str(study / "home" / "c.zarr")


def test_other_jobs_files(study):
    at = study / "study"
    for name in ("area.gpkg", "places.csv", "w.pth"):
        (at / name).write_text("")
    (at / "map.yaml").write_text("within: area.gpkg\n")
    assert load(at / "map.yaml", MapConfig).within == str(at / "area.gpkg")
    (at / "predict.yaml").write_text("table: gone.csv\n")
    with pytest.raises(InputError, match=r"table: no such file in .*study"):
        load(at / "predict.yaml", PredictConfig)
    weights = "model: {satellite: {weights: %s}}\ncube: cube.zarr\n"
    (at / "finetune.yaml").write_text(weights % "w.pth")
    assert load(at / "finetune.yaml", FinetuneConfig).model.satellite.weights == str(at / "w.pth")
    (at / "finetune.yaml").write_text(weights % "hub")
    assert load(at / "finetune.yaml", FinetuneConfig).model.satellite.weights == "hub"


@pytest.mark.parametrize("written", ["finetune.yaml", "inline"])
def test_a_configuration_inside_another_keeps_its_own_folder(study, written):
    at = study / "study"
    (at / "places.csv").write_text("")
    base = "{covariates: c.zarr, presence: {loss: max_entropy, background: table, table: places.csv}}"
    (at / "finetune.yaml").write_text(base)
    (at / "tune.yaml").write_text(f"finetune: {base if written == 'inline' else written}\nspace: {{optim.lr: [0.1]}}\n")
    config = load(at / "tune.yaml", TuneConfig)
    assert config.candidate({}).presence.table == str(at / "places.csv")

"""`sdm-ray init`: the folder that it writes, what it shows, and its one-line errors."""

import pandas as pd
import pytest
import yaml
from helpers.own_study import write_own_study
from typer.testing import CliRunner

from sdm_ray import jobs
from sdm_ray.cli import app
from sdm_ray.config import load


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A working folder with the data; calls `sdm-ray init`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "runs"))
    write_own_study(tmp_path)

    def call(*words, table="relevés.csv", folder="mine"):
        rasters = ["--rasters", "altitude.tif", "précipitations.tif"]
        return CliRunner().invoke(app, ["init", folder, "--table", table, *rasters, *words])

    return call


def configs(folder):
    found = jobs._find(folder)
    return {stem: load(file, jobs.config_class(job)) for stem, (job, file) in found.items()}


def test_the_files_are_valid_agree_with_each_other_and_run_in_order(own, tmp_path):
    result = own()
    assert result.exit_code == 0, result.output
    found = configs(tmp_path / "mine")
    order = ["prepare", "finetune", "map-crossfit", "evaluate", "map", "indicators"]
    assert jobs.in_order(found) == order
    assert found["evaluate"].blocks == found["finetune"].blocks
    assert found["prepare"].land.bounds == found["prepare"].covariates.bounds
    assert found["map"].resolution_m == found["prepare"].covariates.resolution_m
    assert found["prepare"].surveys[0].probability_kind == "occurrence"
    shown = result.output
    for line in (
        "relevés.csv: 813 rows, 546 surveys, 6 species",
        "text with ';' between fields, in utf-8-sig",
        "columns lon Longitude; lat Latitude; species Espèce; survey Relevé; date Date du relevé"
        " (decimal ',', dates day first)",
        "altitude.tif: altitude; EPSG:4326, pixels of about 937 m",
        "then: sdm-ray run mine",
    ):
        assert line in shown


def test_a_study_can_be_moved_with_its_data(own, tmp_path):
    own()
    written = yaml.safe_load((tmp_path / "mine" / "prepare.yaml").read_text())
    assert written["surveys"]["table"] == "../relevés.csv"
    assert sorted(written["surveys"]["columns"]) == ["date", "lat", "lon", "species", "survey"]
    assert written["covariates"]["rasters"] == ["../altitude.tif", "../précipitations.tif"]


def test_presence_only_records_get_what_fits_them(own, tmp_path):
    result = own("--kind", "relative")
    assert result.exit_code == 0, result.output
    found = configs(tmp_path / "mine")
    assert "indicators" not in found and "evaluate" in found
    assert "no indicators: sums of relative suitabilities" in result.output
    assert found["finetune"].presence.loss == "bce" and found["finetune"].forest is not None


def test_records_of_one_species_are_compared_with_all_places(own, tmp_path):
    table = pd.read_csv(tmp_path / "relevés.csv", sep=";", encoding="utf-8-sig")
    table[table["Espèce"] == "Hêtre"].to_csv(tmp_path / "hêtre.csv", sep=";", index=False)
    result = own(table="hêtre.csv")
    assert result.exit_code == 0, result.output
    found = configs(tmp_path / "mine")
    assert sorted(found) == ["finetune", "map", "prepare"]
    assert found["finetune"].presence.background == "uniform"
    assert "no evaluate: presences of one species alone cannot be scored" in result.output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--kind", "often"), "--kind often: expected occurrence, recorded, relative"),
        (("--species", "Taxon"), "has no column Taxon, which --species names"),
        (("nothing.tif",), "nothing.tif: no such file"),
        (("--resolution", "7"), "--resolution 7: expected a side that divides blocks of"),
        (("--encoding", "utf-9"), "encoding 'utf-9' is not known"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(own, tmp_path, words, expected):
    result = own(*words)
    assert result.exit_code == 2
    assert expected in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "mine").exists()


def test_files_that_are_there_are_kept_unless_asked(own, tmp_path):
    own()
    (tmp_path / "mine" / "map.yaml").write_text("land: mine.zarr\n")
    again = own()
    assert again.exit_code == 2 and "is there already; name another folder" in again.stderr
    assert (tmp_path / "mine" / "map.yaml").read_text() == "land: mine.zarr\n"
    assert own("--overwrite").exit_code == 0

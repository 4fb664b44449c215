"""A Darwin Core archive of sampling events: `init` writes a prepare.yaml that reads presence and absence from it."""

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.event_archives import write_archive
from helpers.own_study import write_own_study
from typer.testing import CliRunner
from upath import UPath

from sdm_ray.cli import app
from sdm_ray.init.events import is_archive_of_events
from sdm_ray.stores.surveys import read_kind, read_surveys

PLANTS = {"kingdom": "Plantae", "phylum": "Tracheophyta"}
FOUND = {  # the names of the own study, as an archive has them
    "Mélèze d'Europe": "Larix decidua", "Épicéa commun": "Picea abies", "Hêtre": "Fagus sylvatica",
    "Chêne pubescent": "Quercus pubescens", "Frêne élevé": "Fraxinus excelsior", "Pin à crochets": "Pinus uncinata",
}  # fmt: skip


@pytest.fixture
def tables(tmp_path):
    """Events, occurrences and scopes: 400 plots of plants, of which some found nothing, and 30 that counted birds."""
    write_own_study(tmp_path, 400)
    rows = pd.read_csv(tmp_path / "relevés.csv", sep=";", decimal=",", encoding="utf-8-sig")
    rng = np.random.default_rng(1)
    ids = [f"R{number:04d}" for number in range(400)]
    places = rows.groupby("Relevé")[["Longitude", "Latitude"]].first().reindex(ids)
    empty = places["Longitude"].isna()
    places.loc[empty] = np.column_stack([rng.uniform(5.7, 6.8, empty.sum()), rng.uniform(44.6, 45.5, empty.sum())])
    events = pd.DataFrame({
        "eventID": ids, "decimalLongitude": places["Longitude"].to_numpy(),
        "decimalLatitude": places["Latitude"].to_numpy(), "eventDate": "2019-06-01",
    })  # fmt: skip
    seen = pd.DataFrame({"eventID": rows["Relevé"], "scientificName": rows["Espèce"].map(FOUND), **PLANTS})
    scopes = pd.DataFrame({
        "eventID": ids, "targetTaxonomicScope": "Tracheophyta", "isTaxonomicScopeFullyReported": "true",
    })  # fmt: skip
    birds = events.iloc[:30].assign(eventID=[f"B{number}" for number in range(30)])
    more = pd.DataFrame({"eventID": birds["eventID"], "scientificName": "Parus major", "kingdom": "Animalia"})
    theirs = scopes.iloc[:30].assign(eventID=birds["eventID"], targetTaxonomicScope="Aves")
    return pd.concat([events, birds]), pd.concat([seen, more]).fillna(""), pd.concat([scopes, theirs])


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "runs"))

    def run(*words):
        return CliRunner().invoke(app, [*words])

    return run


RASTERS = ("--rasters", "altitude.tif", "précipitations.tif")


def test_events_become_surveys_of_presence_and_absence(tables, call, tmp_path):
    write_archive(tmp_path / "plots.zip", *tables)
    result = call("init", "mine", "--table", "plots.zip", *RASTERS)
    assert result.exit_code == 0, result.output
    assert "plots.zip: 430 rows, 400 surveys, 6 species" in result.output
    assert "what is in the scope Tracheophyta and not reported by an event was absent" in result.output
    assert "left out: 30 rows, other scope; first B0" in result.output
    entry = yaml.safe_load((tmp_path / "mine" / "prepare.yaml").read_text())["surveys"]
    assert entry["source"] == "darwin_core_events" and entry["table"] == "../plots.zip"
    assert entry["scope"] == "Tracheophyta"
    assert {"evaluate.yaml", "indicators.yaml"} <= {file.name for file in (tmp_path / "mine").iterdir()}
    result = call("prepare", "mine/prepare.yaml", "run_dir=made", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    assert result.exit_code == 0, result.output
    surveys, species = read_surveys(UPath(tmp_path / "made" / "surveys.parquet"))
    assert read_kind(UPath(tmp_path / "made" / "surveys.parquet")) == "occurrence"
    assert sorted(species["name"]) == sorted(FOUND.values())
    expected = tables[1][tables[1]["kingdom"] == "Plantae"].groupby("eventID")["scientificName"].agg(set)
    names = species["name"].to_numpy()
    found = {key: set(names[each]) for key, each in zip(surveys["survey_id"], surveys["species"], strict=True)}
    assert len(found) == 400 and sum(not each for each in found.values()) > 50
    assert {key: each for key, each in found.items() if each} == expected.to_dict()


def test_another_scope_and_events_without_one(tables, call, tmp_path):
    events, seen, scopes = tables
    write_archive(tmp_path / "plots.zip", events, seen, scopes)
    result = call("init", "birds", "--table", "plots.zip", "--scope", "Mammalia", *RASTERS)
    assert result.exit_code == 2
    assert "no event reports the scope Mammalia fully; fully reported: Tracheophyta, Aves" in result.output
    write_archive(tmp_path / "bare.zip", events, seen, None)
    result = call("init", "bare", "--table", "bare.zip", *RASTERS)
    assert result.exit_code == 2 and len(result.output.splitlines()) == 1
    assert "name the taxon that every event reports fully with --scope, such as --scope Tracheophyta" in result.output
    result = call("init", "bare", "--table", "bare.zip", "--scope", "Tracheophyta", *RASTERS)
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((tmp_path / "bare" / "prepare.yaml").read_text())["surveys"]["scope"] == "Tracheophyta"


def test_what_is_no_archive_of_events(tables, tmp_path):
    events, seen, _ = tables
    file = write_archive(tmp_path / "plots.zip", events, seen, None)
    assert is_archive_of_events(str(file))
    (tmp_path / "text.zip").write_bytes(b"no zip")
    (tmp_path / "folder").mkdir()
    for name in ("text.zip", "folder", "relevés.csv", "nowhere.zip"):
        assert not is_archive_of_events(str(tmp_path / name))

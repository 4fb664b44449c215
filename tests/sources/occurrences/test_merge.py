"""Surveys of several sources as one table."""

import json

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.sources import prepare
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.stores.surveys import read_kind, read_surveys

PLOTS = pd.DataFrame(
    {
        "plot": ["p1", "p1", "p2", "p3"],
        "lon": [10.5, 10.5, 11.25, 12.125],
        "lat": [46.5, 46.5, 47.25, 46.125],
        "taxon": ["Abies alba Mill.", "Taxus baccata L.", "Abies alba Mill.", "Linum narbonense L."],
        "key": [2685484, None, 2685484, 4048802],
    }
)


def table(path, rows: pd.DataFrame = PLOTS, kind: str = "recorded", **settings) -> dict:
    rows.to_csv(path, index=False)
    columns = {"survey": "plot", "species": "taxon", "gbif_key": "key"}
    return {"source": "tables", "table": str(path), "columns": columns, "probability_kind": kind, **settings}


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture
def run(tmp_path, uri):
    def run(**settings) -> UPath:
        values = {"run_dir": str(tmp_path / "run"), "tracking": TrackingConfig(uri=uri), **settings}
        config = PrepareConfig.model_validate(values)
        with tracking.start(config, "prepare") as tracker:
            prepare.run(config, tracker)
        return UPath(tmp_path / "run")

    return run


def sets(place: UPath, name: str = "surveys.parquet") -> dict[str, set[str]]:
    surveys, species = read_surveys(place / name)
    names = species["name"].to_numpy()
    return {key: set(names[each]) for key, each in zip(surveys["survey_id"], surveys["species"], strict=True)}


def test_inventory_cells_and_plots_meet_in_one_list_of_species(run, data, tmp_path):
    forest = {"source": "euforest", "table": str(data / "euforest/occurrences.parquet"), "min_records": 1000}
    place = run(surveys=[forest, table(tmp_path / "plots.csv")])
    surveys, species = read_surveys(place / "surveys.parquet")
    assert species["name"].is_monotonic_increasing
    assert set(surveys["source"]) == {"euforest-0", "tables-1"}
    found = sets(place)
    assert found["p1"] == {"Abies alba", "Taxus baccata L."}  # the fir is called as the first source calls it
    assert found["p3"] == {"Linum narbonense L."}
    fir = species.set_index("name").loc["Abies alba"]
    assert fir["gbif_key"] == 2685484
    assert surveys["species"].map(lambda each: fir["species_id"] in each).sum() > 1000
    apart = json.loads((place / "species.report.json").read_text())["in_one_source_only"]
    assert apart["plots.csv"] == ["Linum narbonense L.", "Taxus baccata L."]
    assert "Fagus sylvatica" in apart["occurrences.parquet"]
    assert len(json.loads((place / "surveys.parquet.report.json").read_text())) == 2


def test_occurrences_share_the_numbers_of_the_surveys(run, tmp_path):
    surveys = table(tmp_path / "plots.csv", kind="occurrence")
    place = run(surveys=surveys)
    alone = read_surveys(place / "surveys.parquet")[1]["name"].tolist()
    seen = PLOTS.assign(taxon=["Abies alba", "Zea mays", "Abies alba", "Acer opalus"], key=None)
    both = {"surveys": surveys, "occurrences": table(tmp_path / "seen.csv", seen, "relative")}
    run(**both)
    assert read_kind(place / "surveys.parquet") == "occurrence"
    assert read_kind(place / "occurrences.parquet") == "relative"
    names = read_surveys(place / "occurrences.parquet")[1]["name"].tolist()
    assert names == sorted({*alone, "Zea mays", "Acer opalus"})
    assert sets(place)["p1"] == {"Abies alba Mill.", "Taxus baccata L."}
    assert sets(place, "occurrences.parquet")["p1"] == {"Abies alba Mill.", "Zea mays"}
    before = (place / "surveys.parquet").stat().st_mtime
    run(**both)
    assert (place / "surveys.parquet").stat().st_mtime == before  # kept


def test_a_second_study_never_takes_the_names_of_the_first(run, tmp_path):
    first = {"surveys": table(tmp_path / "plots.csv", kind="occurrence")}
    place = run(**first)
    names = read_surveys(place / "surveys.parquet")[1]["name"].tolist()
    seen = PLOTS.assign(taxon=["Castanea sativa", "Zea mays", "Castanea sativa", "Acer opalus"], key=None)
    second = {"occurrences": table(tmp_path / "seen.csv", seen, "relative")}
    with pytest.raises(InputError, match=r"species\.parquet: belongs to surveys\.parquet, which this"):
        run(**second)
    assert read_surveys(place / "surveys.parquet")[1]["name"].tolist() == names
    run(**first, **second)  # both together
    assert sets(place)["p1"] == {"Abies alba Mill.", "Taxus baccata L."}
    assert sets(place, "occurrences.parquet")["p1"] == {"Castanea sativa", "Zea mays"}


def test_surveys_are_not_read_with_the_species_of_others(run, tmp_path, capsys):
    first = {"surveys": table(tmp_path / "plots.csv", kind="occurrence")}
    place = run(**first)
    other = read_surveys(place / "surveys.parquet")[1].assign(name=["Castanea sativa", "Zea mays", "Acer opalus"])
    other.to_parquet(str(place / "species.parquet"))
    with pytest.raises(InputError, match=r"species\.parquet: holds other species than surveys\.parquet was"):
        read_surveys(place / "surveys.parquet")
    capsys.readouterr()
    run(**first)
    assert "rebuilding" in (said := capsys.readouterr().out)
    assert "changed file species.parquet" in said
    assert sets(place)["p1"] == {"Abies alba Mill.", "Taxus baccata L."}
    (place / "surveys.parquet.report.json").unlink()
    run(**first)
    assert (place / "surveys.parquet.report.json").exists()


def test_rare_species_and_spellings_are_told(run, tmp_path, capsys):
    rows = PLOTS.assign(taxon=["Abies alba", "Taxus baccata", "ABIES ALBA", "Abies alba Mill."], key=None)
    run(surveys=table(tmp_path / "plots.csv", rows))
    said = capsys.readouterr().out
    assert "2 species have fewer than 10 records: Abies alba (3), Taxus baccata (1); see min_records" in said
    assert "plots.csv: 1 species are written in several ways: Abies alba: Abies alba Mill., ABIES ALBA" in said


def test_ids_that_two_sources_share_are_told_apart(run, tmp_path):
    second = PLOTS.assign(plot=["p3", "p3", "q1", "q2"])
    place = run(surveys=[table(tmp_path / "a.csv"), table(tmp_path / "b.csv", second)])
    assert set(sets(place)) == {"p1", "p2", "tables-0-p3", "tables-1-p3", "q1", "q2"}


def test_synonyms_bring_names_together(run, tmp_path):
    pd.DataFrame({"name": ["Abies pectinata"], "accepted": ["Abies alba Mill."]}).to_csv(
        tmp_path / "s.csv", index=False
    )
    other = PLOTS.assign(plot=["x", "x", "y", "z"], taxon=["Abies pectinata DC.", None, None, None], key=None)
    settings = {"surveys": [table(tmp_path / "a.csv"), table(tmp_path / "b.csv", other)]}
    place = run(**settings, synonyms=str(tmp_path / "s.csv"))
    assert sets(place)["x"] == {"Abies alba Mill."}
    surveys = read_surveys(place / "surveys.parquet")[0]
    assert surveys.set_index("survey_id").loc["x", "species"].dtype == np.int32
    pd.DataFrame({"name": ["Abies a"], "accepted": ["Abies alba Mill."]}).to_csv(tmp_path / "s.csv", index=False)
    run(**settings, synonyms=str(tmp_path / "s.csv"))
    assert sets(place)["x"] == {"Abies pectinata DC."}


def test_kinds_are_not_mixed(run, tmp_path):
    mixed = [table(tmp_path / "a.csv", kind="occurrence"), table(tmp_path / "b.csv", kind="relative")]
    with pytest.raises(InputError, match=r"surveys: a\.csv gives occurrence and b\.csv gives relative .*expected one"):
        run(surveys=mixed)
    with pytest.raises(InputError, match=r"occurrences: a\.csv gives occurrence probabilities, expected relative"):
        run(occurrences=mixed[0])


def test_a_challenge_as_surveys_and_occurrences(run, data, tmp_path):
    rows = pd.read_csv(data / "glc24/metadata.csv")
    for name in ("GLC24_PA_metadata_train.csv", "GLC24_P0_metadata_train.csv"):
        rows.to_csv(tmp_path / name, index=False)
    pa, po = ({"source": "glc24", "table": str(tmp_path / f"GLC24_{kind}_metadata_train.csv")} for kind in ("PA", "P0"))
    place = run(surveys=pa, occurrences=po)
    assert sets(place) == sets(place, "occurrences.parquet")
    expected = rows.groupby("surveyId")["speciesId"].agg(lambda each: set(each.astype(int).astype(str)))
    assert {int(key): each for key, each in sets(place).items()} == expected.to_dict()

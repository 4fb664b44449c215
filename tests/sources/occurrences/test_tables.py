"""Occurrences to surveys: no label is lost, wrong places are named."""

import numpy as np
import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import euforest, tables
from sdm_ray.sources.occurrences.config import EuForest, Tables

JOB = PrepareConfig(land={"source": "virtual"})
ROWS = pd.DataFrame(
    {
        "site": ["a", "a", "b", "a", "c", "c"],
        "lon": [3.5, 3.5, 4.5, 3.5, 5.25, 5.25],
        "lat": [43.5, 43.5, 44.5, 43.5, 45.5, 45.5],
        "name": ["oak", "elm", "oak", "oak", "yew", None],
        "when": [2001, 2001, 2002, 2001, np.nan, np.nan],
    }
)


def made(rows: pd.DataFrame, folder, **settings) -> tables.SurveyTables:
    path = folder / "rows.csv"
    rows.to_csv(path, index=False)
    columns = {"survey": "site", "species": "name", "year": "when"}
    source = {"source": "tables", "table": str(path), "columns": columns, "probability_kind": "occurrence"}
    return tables.surveys(Tables.model_validate({**source, **settings}), JOB)


def test_a_survey_keeps_the_set_of_its_species(tmp_path):
    found = made(ROWS, tmp_path)
    names = found.species["name"].to_numpy()
    assert found.surveys["survey_id"].tolist() == ["a", "b", "c"]
    assert [set(names[each]) for each in found.surveys["species"]] == [{"oak", "elm"}, {"oak"}, {"yew"}]
    assert found.surveys["year"].tolist()[:2] == [2001, 2002]
    assert pd.isna(found.surveys["year"][2])
    assert found.report.facts["repeated_rows"] == 1


def test_rare_species_leave_but_their_surveys_stay(tmp_path):
    found = made(ROWS, tmp_path, min_records=2)
    assert found.species["name"].tolist() == ["oak"]
    assert [list(each) for each in found.surveys["species"]] == [[0], [0], []]
    assert found.report.facts["species_below_min_records"] == 2
    with pytest.raises(InputError, match=r"no species has 3 records \(oak has most, 2\)"):
        made(ROWS, tmp_path, min_records=3)


def test_without_a_survey_column_place_and_year_make_a_survey(tmp_path):
    columns = {"species": "name", "year": "when"}
    found = made(ROWS, tmp_path, columns=columns)
    assert found.surveys["species"].map(len).tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("row", "change", "kind"),
    [
        (2, {"lon": 44.5, "lat": 4.5}, "swapped"),
        (2, {"lon": 0.0, "lat": 0.0}, "zero"),
        (2, {"lon": 3926000.0, "lat": 2310000.0}, "metres"),
        (2, {"lon": -100.0}, "outside"),
        (2, {"lon": np.nan}, "missing"),
    ],
)
def test_a_wrong_place_is_left_out_by_name(tmp_path, row, change, kind):
    rows = ROWS.copy()
    rows.loc[row, list(change)] = list(change.values())
    found = made(rows, tmp_path)
    assert found.surveys["survey_id"].tolist() == ["a", "c"]
    assert [key[:1] for key in found.report.dropped[kind]] == ["b"]
    with pytest.raises(InputError, match=f"rows.csv: 1 of 6 rows cannot be used, .* 1 {kind}; first b"):
        found.report.check(0.05)
    found.report.check(0.2)


def test_whole_degrees_are_kept_but_noted(tmp_path):
    rows = ROWS.copy()
    rows.loc[2, ["lon", "lat"]] = [4.0, 44.0]
    found = made(rows, tmp_path)
    assert len(found.surveys) == 3
    assert found.report.noted == {"whole_degrees": ["b"]}


def test_a_vague_place_is_left_out(tmp_path):
    rows = ROWS.assign(error=[1, 1, 5000, 1, 1, 1])
    columns = {"survey": "site", "species": "name", "uncertainty_m": "error"}
    found = made(rows, tmp_path, columns=columns, max_uncertainty_m=1000)
    assert found.report.dropped == {"uncertain": ["b"]}
    assert len(found.surveys) == 2


def test_cells_of_the_forest_inventories(data):
    path = data / "euforest" / "occurrences.parquet"
    found = euforest.surveys(EuForest(source="euforest", table=str(path)), JOB)
    rows = pd.read_parquet(path)
    assert found.kind == "recorded"
    assert len(found.species) == 65
    assert found.report.lost == 0
    assert found.report.facts["rows_off_cell_centres"] == 11_415
    # The labels of one species against the raw rows, cell by cell.
    beech = found.species.index[found.species["name"] == "Fagus sylvatica"][0]
    cells = rows[rows["species"] == "Fagus sylvatica"]
    raw = {(x, y) for x, y in zip(cells["x"] // 1000, cells["y"] // 1000, strict=True)}
    ids = found.surveys["survey_id"][[beech in each for each in found.surveys["species"]]]
    ours = ids.str.extract(r"1kmE(\d+)N(\d+)").astype(int)
    assert set(ours.itertuples(index=False, name=None)) == raw


def test_the_publishers_columns_of_the_inventories(tmp_path):
    path = tmp_path / "EUForestspecies.csv"
    path.write_text(
        "X,Y,COUNTRY,SPECIES NAME,DBH\n4576500,2705500,Austria,Abies alba,-9999\n4577000,2706000,Austria,Abies alba,1\n"
    )
    found = euforest.surveys(EuForest(source="euforest", table=str(path), min_records=1), JOB)
    assert found.surveys["survey_id"].tolist() == ["1kmE4576N2705", "1kmE4577N2706"]
    assert found.surveys["uncertainty_m"].tolist() == [707, 1061]
    assert found.surveys["country"].tolist() == ["Austria", "Austria"]


def test_positions_that_contradict_each_other_are_left_out(tmp_path):
    path = tmp_path / "trees.csv"
    path.write_text(
        "x,y,lon,lat,country,species\n"
        "2705500,4576500,13.38432,47.41055,austria,Abies alba\n"  # axes exchanged
        "4576500,2705500,13.38432,47.41055,austria,Abies alba\n"
    )
    source = EuForest(source="euforest", table=str(path), min_records=1)
    found = euforest.surveys(source, JOB)
    assert found.surveys["survey_id"].tolist() == ["1kmE4576N2705"]
    assert found.report.dropped == {"lonlat_disagrees": ["x 2705500 y 4576500"]}
    path.write_text("x,y,country,species\n13.5,47.4,austria,Abies alba\n")
    with pytest.raises(InputError, match="column x holds degrees, expected EPSG:3035 metres"):
        euforest.surveys(source, JOB)

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


def test_columns_that_describe_the_place_stay_with_the_survey(tmp_path):
    rows = ROWS.assign(pH=["4,5", "9", "", "4,5", "6", "6"], use=["heath", "heath", None, "x", "field", "field"])
    rows = rows.assign(**{name: rows[name].astype(str).str.replace(".", ",") for name in ("lon", "lat")})
    columns = {"survey": "site", "species": "name", "covariates": ["pH"], "classes": ["use"]}
    found = made(rows, tmp_path, columns=columns, decimal=",").surveys
    np.testing.assert_array_equal(found["covariate:pH"], np.array([4.5, np.nan, 6], np.float32))
    assert found["covariate:use"].tolist() == ["heath", None, "field"]


def test_places_of_a_table_of_their_own(tmp_path):
    places = ROWS[["site", "lon", "lat"]].drop_duplicates()
    places.assign(site=["a", "b", "d"]).to_csv(tmp_path / "places.csv", index=False)
    found = made(ROWS.drop(columns=["lon", "lat"]), tmp_path, places=str(tmp_path / "places.csv"))
    assert found.surveys["survey_id"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(found.surveys[["lon", "lat"]], [[3.5, 43.5], [4.5, 44.5]])
    assert found.report.lost == 2  # rows of site c, which has no place
    places.assign(site="a").to_csv(tmp_path / "places.csv", index=False)
    with pytest.raises(InputError, match=r"places\.csv: row 2: site a has a row before"):
        made(ROWS.drop(columns=["lon", "lat"]), tmp_path, places=str(tmp_path / "places.csv"))
    with pytest.raises(ValueError, match=r"columns\.survey"):
        made(ROWS, tmp_path, places=str(tmp_path / "places.csv"), columns={"species": "name"})


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
        (2, {"lat": 144.5}, "not_degrees"),
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


def test_an_accuracy_that_was_asked_for_is_no_loss(tmp_path):
    rows = ROWS.assign(error=[1, 1, 5000, 1, 1, 1])
    columns = {"survey": "site", "species": "name", "uncertainty_m": "error"}
    found = made(rows, tmp_path, columns=columns, max_uncertainty_m=1000)
    assert found.report.left == {"uncertain": ["b"]}
    assert len(found.surveys) == 2
    found.report.check(0.0)  # counts towards no limit
    with pytest.raises(InputError, match=r"no point has an uncertainty within max_uncertainty_m 0\.5"):
        made(rows, tmp_path, columns=columns, max_uncertainty_m=0.5)


def write(folder, name: str, text: str, **settings) -> tables.SurveyTables:
    path = folder / name
    path.write_text(text)
    source = {"source": "tables", "table": str(path), "probability_kind": "occurrence", **settings}
    return tables.surveys(Tables.model_validate(source), JOB)


def sets(found: tables.SurveyTables) -> dict[str, set[str]]:
    names = found.species["name"].to_numpy()
    return {
        key: set(names[each]) for key, each in zip(found.surveys["survey_id"], found.surveys["species"], strict=True)
    }


LONG = {"survey": "plot", "species": "taxon", "presence": "found"}


def test_absences_of_a_long_table_are_surveys_without_the_species(tmp_path):
    text = "plot,lon,lat,taxon,found\na,3.5,43.5,oak,1\na,3.5,43.5,elm,0\nb,4.5,44.5,oak,0\nb,4.5,44.5,elm,0\n"
    found = write(tmp_path, "t.csv", text, columns=LONG)
    assert sets(found) == {"a": {"oak"}, "b": set()}
    assert found.species["name"].tolist() == ["oak"]  # the elm was nowhere
    assert found.report.facts["absences"] == 3
    words = text.replace(",1\n", ",Present\n").replace(",0\n", ",ABSENT\n")
    assert sets(write(tmp_path, "t.csv", words, columns=LONG)) == sets(found)
    blank = write(tmp_path, "t.csv", text + "c,5.5,45.5,oak,\n", columns=LONG)
    assert blank.report.dropped == {"no_presence": ["row 5"]}
    with pytest.raises(
        InputError, match=r"column found, row 1 holds '2m', expected a number, present or absent; .*cover_classes"
    ):
        write(tmp_path, "t.csv", text.replace(",1\n", ",2m\n"), columns=LONG)


def test_cover_classes_have_a_threshold(tmp_path):
    text = "plot;lon;lat;taxon;found\na;3,5;43,5;oak;r\na;3,5;43,5;elm;2\nb;4,5;44,5;oak;+\nb;4,5;44,5;elm;.\n"
    settings = {"columns": LONG, "decimal": ",", "cover_classes": {"r": 0.1, "+": 0.5, 1: 2.5, 2: 15}}
    assert sets(write(tmp_path, "t.csv", text, **settings)) == {"a": {"oak", "elm"}, "b": {"oak"}}
    assert sets(write(tmp_path, "t.csv", text, presence_above=0.1, **settings)) == {"a": {"elm"}, "b": {"oak"}}
    numbers = text.replace("r\n", "0,1\n").replace("+\n", "7,5\n")
    found = write(tmp_path, "t.csv", numbers, columns=LONG, decimal=",", presence_above=5)
    assert sets(found) == {"a": set(), "b": {"oak"}}


WIDE = (
    "plot,lon,lat,alt,Abies_alba,Taxus_baccata,Zea_mays\na,3.5,43.5,9,1,0,0\nb,4.5,44.5,9,0,0,0\nc,5.5,45.5,9,3,12,0\n"
)


@pytest.mark.parametrize("species", ["*_*", ["Abies_alba:Zea_mays"], ["Abies_alba", "T*", "Zea_mays"]])
def test_a_wide_matrix_is_one_survey_a_row(tmp_path, species):
    columns = {"survey": "plot", "species": species}
    found = write(tmp_path, "t.csv", WIDE, columns=columns)
    assert sets(found) == {"a": {"Abies_alba"}, "b": set(), "c": {"Abies_alba", "Taxus_baccata"}}
    assert found.report.rows == 3
    assert sets(write(tmp_path, "t.csv", WIDE, columns=columns, presence_above=5))["c"] == {"Taxus_baccata"}
    with pytest.raises(InputError, match=r"has no column Q\* of a species; found plot, lon"):
        write(tmp_path, "t.csv", WIDE, columns={"survey": "plot", "species": ["Q*"]})


def test_a_blank_is_an_absence_only_where_no_absences_are_written(tmp_path):
    columns = {"survey": "plot", "species": "*_*"}
    found = write(tmp_path, "t.csv", WIDE.replace(",0", ","), columns=columns)
    assert sets(found) == {"a": {"Abies_alba"}, "b": set(), "c": {"Abies_alba", "Taxus_baccata"}}
    some = WIDE + "d,6.5,46.5,9,1,,0\ne,7.5,47.5,9,,,\n"
    found = write(tmp_path, "t.csv", some, columns=columns)
    assert set(sets(found)) == {"a", "b", "c"}
    assert found.report.dropped == {"species_partly_blank": ["row 4"]}
    assert found.report.left == {"no_species_data": ["row 5"]}


def test_the_dutch_plots_as_they_are(data):
    """50 columns of Dutch names; plots without species data are all blank."""
    path = data / "lmf-netherlands/plots.parquet"
    raw = pd.read_parquet(path)
    species = pd.read_csv(data / "lmf-netherlands/chosen_species.csv").iloc[:, 0].tolist()
    assert len(species) == 50
    source = {"source": "tables", "table": str(path), "probability_kind": "occurrence"}
    columns = {"survey": "Plot", "year": "Jaar", "species": species}
    found = tables.surveys(Tables.model_validate({**source, "columns": columns}), JOB)
    known = raw[raw[species].notna().all(axis=1)]
    assert len(found.report.left["no_species_data"]) == len(raw) - len(known)
    assert found.surveys["species"].map(len).sum() == known.groupby("Plot")[species].max().to_numpy().sum()


def test_the_swiss_plots_in_their_own_projection(data):
    path = data / "swiss-alps-plots/Final_Coord_30Occ.txt"
    settings = {"source": "tables", "table": str(path), "crs": "EPSG:21781", "probability_kind": "occurrence"}
    columns = {"survey": "Noreleve", "lon": "X", "lat": "Y", "species": ["Clinopodium_vulgare:"]}
    with pytest.raises(InputError, match="has no column Clinopodium_vulgare:"):
        tables.surveys(Tables.model_validate({**settings, "columns": columns}), JOB)
    last = path.read_text().split("\n")[0].split("\t")[-1].strip()
    columns["species"] = [f"Clinopodium_vulgare:{last}"]
    found = tables.surveys(Tables.model_validate({**settings, "columns": columns}), JOB)
    assert len(found.surveys) == 707
    assert found.surveys["lon"].between(6.7, 7.3).all()
    assert found.surveys["lat"].between(46.1, 46.6).all()


def test_projected_coordinates_become_degrees_or_say_what_is_wrong(tmp_path):
    text = "plot,x,y,taxon\na,500000,5500000,oak\nb,510000,5510000,elm\n"
    columns = {"survey": "plot", "lon": "x", "lat": "y", "species": "taxon"}
    found = write(tmp_path, "t.csv", text, columns=columns, crs="EPSG:25832")
    assert found.surveys["lon"][0] == pytest.approx(9.0)
    assert found.surveys["lat"][0] == pytest.approx(49.65, abs=0.01)
    with pytest.raises(InputError, match=r"2 metres; first a .*; expected degrees; name the projection .* as `crs`"):
        write(tmp_path, "t.csv", text, columns=columns)
    far = text.replace("500000", "9e9", 1)
    found = write(tmp_path, "t.csv", far, columns=columns, crs="EPSG:25832")
    assert list(found.report.dropped) == ["not_in_crs"]
    with pytest.raises(InputError, match="expected coordinates within `crs`"):
        found.report.check(0.1)
    with pytest.raises(InputError, match=r"1 not_degrees; .*; expected longitudes from -180 to 180 and lat"):
        write(tmp_path, "t.csv", "lon,lat,species\n4,95.5,oak\n")


@pytest.mark.parametrize(
    ("form", "written"),
    [
        (None, ["2019-06-01", "2020-12-24T10:00:00"]),
        ("day_first", ["1/6/2019", "24.12.2020"]),
        ("month_first", ["6/1/2019", "12/24/2020"]),
        ("%d-%b-%y", ["01-Jun-19", "24-Dec-20"]),
    ],
)
def test_dates_of_any_stated_format(tmp_path, form, written):
    text = "lon,lat,species,seen\n" + "".join(f"3.5,43.5,oak,{each}\n" for each in [*written, ""])
    found = write(tmp_path, "t.csv", text, columns={"date": "seen"}, date_format=form)
    assert found.surveys["date"].tolist() == ["2019-06-01", "2020-12-24", None]
    assert found.surveys["year"].fillna(0).tolist() == [2019, 2020, 0]
    assert found.surveys["survey_id"][0] == "3.50000_43.50000_2019-06-01"
    if form != "day_first":
        with pytest.raises(InputError, match=r"column seen, row 1 holds '24/12/2020', expected a date: "):
            write(
                tmp_path,
                "t.csv",
                "lon,lat,species,seen\n3,4,oak,24/12/2020\n",
                columns={"date": "seen"},
                date_format=form,
            )


def test_ids_beside_a_blank_stay_apart(tmp_path):
    ids = [f"9007199254740{i:06d}" for i in range(100)]
    text = "id,lon,lat,species\n" + "".join(f"{each},3.5,43.5,oak\n" for each in [*ids, ""])
    found = write(tmp_path, "t.csv", text, columns={"survey": "id"})
    assert found.surveys["survey_id"].tolist() == ids
    assert found.report.dropped == {"no_survey_id": ["row 101"]}


def test_a_table_as_a_spreadsheet_of_a_country_with_decimal_commas_writes_it(tmp_path):
    """Semicolons, decimal commas, a byte-order mark and accents."""
    text = "\ufeffrelevé;lon;lat;espèce;précision\nforêt 1;-1,25;43,5;Isoëtes lacustris;12,5\nforêt 2;4,5;44,5;Hêtre;\n"
    columns = {"survey": "relevé", "species": "espèce", "uncertainty_m": "précision"}
    found = write(tmp_path, "plots.csv", text, columns=columns, decimal=",")
    assert sets(found) == {"forêt 1": {"Isoëtes lacustris"}, "forêt 2": {"Hêtre"}}
    assert found.surveys["lon"].tolist() == [-1.25, 4.5]
    assert found.surveys["uncertainty_m"].fillna(-1).tolist() == [12.5, -1]


def test_spellings_are_one_species_within_a_table(tmp_path):
    rows = "a,3.5,43.5,Abies alba\nb,4.5,44.5,ABIES ALBA Mill.\nc,5.5,45.5,Abies  alba\nd,6.5,46.5,None\n"
    found = write(tmp_path, "t.csv", "site,lon,lat,species\n" + rows, columns={"survey": "site"}, min_records=1)
    assert found.species["name"].tolist() == ["ABIES ALBA Mill.", "None"]
    assert found.report.noted["spellings_merged"] == ["ABIES ALBA Mill.: Abies alba, Abies  alba"]
    rare = write(tmp_path, "t.csv", "site,lon,lat,species\n" + rows, columns={"survey": "site"}, min_records=3)
    assert sets(rare)["c"] == {"ABIES ALBA Mill."}  # three surveys of one species, not three species of one survey


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

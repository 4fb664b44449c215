"""GBIF occurrences as surveys."""

import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import gbif
from sdm_ray.sources.occurrences.config import Gbif

JOB = PrepareConfig(land={"source": "virtual"})
ROWS = pd.DataFrame(
    {
        "gbifID": [1, 2, 3, 4],
        "decimalLongitude": [3.5, 3.5, 3.5, 4.25],
        "decimalLatitude": [43.5, 43.5, 43.5, 44.75],
        "scientificName": ["Linum narbonense L.", "Quercus ilex L.", "Quercus ilex L.", "Quercus ilex L."],
        "species": ["Linum narbonense", "Quercus ilex", "Quercus ilex", None],
        "speciesKey": [4048802, 2879098, 2879098, 2879098],
        "eventDate": ["2021-04-27T16:10:03", "2021-04-27", "2022-05-01", "2021-04-27/2021-04-28"],
        "coordinateUncertaintyInMeters": [10, None, 30, 8000],
    }
)


def made(rows: pd.DataFrame, folder, **settings):
    path = folder / "occurrence.txt"
    rows.to_csv(path, index=False, sep="\t")
    return gbif.surveys(Gbif.model_validate({"source": "gbif", "table": str(path), **settings}), JOB)


def test_the_records_of_a_place_and_day_are_one_survey(tmp_path):
    found = made(ROWS.drop(columns="species"), tmp_path)
    names = found.species["name"].to_numpy()
    assert [sorted(names[each]) for each in found.surveys["species"]] == [
        ["Linum narbonense L.", "Quercus ilex L."], ["Quercus ilex L."], ["Quercus ilex L."],
    ]  # fmt: skip
    assert found.surveys["year"].tolist() == [2021, 2022, 2021]
    assert found.kind == "relative"
    assert found.species["gbif_key"].tolist() == [4048802, 2879098]


def test_a_species_is_called_without_its_authors_where_that_is_known(tmp_path):
    found = made(ROWS, tmp_path)
    assert found.species["name"].tolist() == ["Linum narbonense", "Quercus ilex"]
    assert found.report.noted["spellings_merged"] == ["Quercus ilex: Quercus ilex L."]


def test_absences_and_genera_are_no_presences(tmp_path):
    rows = pd.concat([ROWS] * 2, ignore_index=True).assign(gbifID=range(1, 9))
    rows["occurrenceStatus"] = ["PRESENT", "ABSENT", None, "absent", "PRESENT", None, "PRESENT", "PRESENT"]
    rows["individualCount"] = [1, None, 0, 0, 3, None, None, 2]
    rows["taxonRank"] = ["SPECIES", "SPECIES", "SPECIES", "SPECIES", "GENUS", None, None, "SUBSPECIES"]
    rows.loc[[4, 5], "species"] = None
    rows.loc[[4, 5, 6], "scientificName"] = ["Linum L.", "Quercus L.", "Quercus ilex L."]
    found = made(rows, tmp_path)
    assert found.report.left == {"absence": ["2", "3", "4"], "above_species": ["5", "6"]}
    assert found.report.lost == 0
    assert found.surveys["species"].map(len).sum() == 3
    assert found.species["name"].tolist() == ["Linum narbonense", "Quercus ilex"]


def test_quotes_in_a_download_lose_no_row(tmp_path):
    rows = pd.concat([ROWS] * 2, ignore_index=True).head(7)
    rows = rows.assign(
        decimalLongitude=[3.5 + i / 4 for i in range(7)], locality=['"x', "y", '12" z', '"', "", "a", "b"]
    )
    path = tmp_path / "occurrence.txt"
    path.write_text("\n".join("\t".join("" if pd.isna(each) else str(each) for each in row)
                               for row in [rows.columns, *rows.to_numpy()]) + "\n")  # fmt: skip
    found = gbif.surveys(Gbif(source="gbif", table=str(path)), JOB)
    assert found.report.rows == len(found.surveys) == 7


def test_vague_records_are_left_out_by_name(tmp_path):
    found = made(ROWS, tmp_path, max_uncertainty_m=1000, max_dropped=0.5)
    assert len(found.surveys) == 2
    assert found.report.left == {"uncertain": ["4.25000_44.75000_2021-04-27"]}


def test_the_photos_of_plantnet_as_occurrences(data):
    table = str(data / "plantnet/metadata_subset.csv")
    territory = str(data / "plantnet/cbn_boundary_input_50m_main_polygon.wkt")
    found = gbif.surveys(Gbif(source="plantnet", table=table, within=territory), JOB)
    rows = pd.read_csv(table)
    assert int(found.surveys["species"].map(len).sum()) == len(rows)
    assert set(found.species["name"]) == set(rows["scientificName"])
    assert set(found.species["gbif_key"]) == set(rows["speciesKey"])


def test_a_table_of_another_kind_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"occurrence\.txt: has no column scientificName"):
        made(ROWS.drop(columns="scientificName"), tmp_path)

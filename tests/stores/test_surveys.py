"""Surveys on disk: round trips, and one line for each fault."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.surveys import labels_of, read_kind, read_surveys, write_surveys

SPECIES = pd.DataFrame(
    {"species_id": range(3), "name": ["Abies alba", "Fagus sylvatica", "Ilex aquifolium"], "gbif_key": [1, None, 3]}
)


@pytest.fixture
def surveys() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "survey_id": ["a", "b", "c"],
            "lon": [3.5, 5.25, 20.476806],
            "lat": [43.5, 45.0, 48.130972],
            "year": [2017, 2018, 2021],
            "uncertainty_m": [11.0, np.nan, 5.0],
            "country": ["France", "France", "Hungary"],
            "species": [[0, 2], [], [1]],
        }
    )


@pytest.mark.parametrize("place", ["local", "memory"])
def test_there_and_back(tmp_path, surveys, place):
    path = (UPath(tmp_path) if place == "local" else UPath("memory://surveys")) / "data" / "surveys.parquet"
    write_surveys(path, surveys, SPECIES, "occurrence")
    read, species = read_surveys(path)
    pd.testing.assert_frame_equal(read.drop(columns="species"), surveys.drop(columns="species"))
    assert [list(each) for each in read.species] == surveys.species.tolist()
    assert species.name.tolist() == SPECIES.name.tolist()
    assert read_kind(path) == "occurrence"
    assert labels_of(read, species).dense(np.arange(3)).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert sorted(file.name for file in path.parent.iterdir()) == ["species.parquet", "surveys.parquet"]


def test_sets_of_species_are_lists_of_integers_for_any_reader(tmp_path, surveys):
    write_surveys(UPath(tmp_path) / "surveys.parquet", surveys, SPECIES, "recorded")
    schema = pq.read_schema(tmp_path / "surveys.parquet")
    assert schema.field("species").type == pa.list_(pa.int32())
    assert schema.field("lon").type == pa.float64()
    assert schema.metadata[b"sdm_ray.probability_kind"] == b"recorded"


def test_real_surveys(tmp_path, data):
    rows = pd.read_csv(data / "glc24-cbnmed" / "glc24_pa_train_CBN-med_val-10.0min.csv")
    names = np.sort(rows.speciesId.unique())
    rows["species"] = np.searchsorted(names, rows.speciesId)
    table = rows.groupby("surveyId").agg({"lon": "first", "lat": "first", "year": "first", "species": list})
    table = table.reset_index(names="survey_id").assign(uncertainty_m=np.nan)
    species = pd.DataFrame({"species_id": range(len(names)), "name": names.astype(str), "gbif_key": None})
    path = UPath(tmp_path) / "surveys.parquet"
    write_surveys(path, table, species, "occurrence")
    read, species = read_surveys(path)
    labels = labels_of(read, species)
    assert (len(read), len(species)) == (381, 1100)
    assert len(labels.indices) == len(rows.drop_duplicates(["surveyId", "speciesId"])) < len(rows) == 7717
    counted = rows.groupby("species").surveyId.nunique().to_numpy()
    assert np.allclose(labels.counts(np.arange(len(read)))[0], counted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="lat"), r"has no column lat; found survey_id, lon, year"),
        (lambda t: t[:0], r"holds no surveys"),
        (lambda t: t.assign(lat=[43.5, 93.0, 48.0]), r"survey b lies at lon 5.25, lat 93.0; expected longitude"),
        (lambda t: t.assign(lon=[np.nan, 5.0, 20.0]), r"survey a lies at lon nan"),
        (lambda t: t.assign(lon=[3.5, 5.0, 4_321_000.0]), r"survey c lies at lon 4321000"),
        (lambda t: t.assign(lon=["3.5", "east", "5"]), r"survey b has lon 'east', expected a number"),
        (lambda t: t.assign(lon=t.lat, lat=t.lon), r"3 of 3 surveys .* exchanged, first survey a"),
        (lambda t: t.assign(survey_id=["a", "b", "b"]), r"survey b occurs more than once"),
        (lambda t: t.assign(species=[[0], [], [3]]), r"survey c holds species 3, species.parquet has 0 to 2"),
        (lambda t: t.assign(species=[[0], [-1], [1]]), r"survey b holds species -1"),
        (lambda t: t.assign(species=[[0], None, [1]]), r"survey b has no list of species"),
    ],
)
def test_each_fault_is_one_line_and_nothing_is_written(tmp_path, surveys, change, message):
    path = UPath(tmp_path) / "surveys.parquet"
    with pytest.raises(InputError, match=message) as raised:
        write_surveys(path, change(surveys), SPECIES, "occurrence")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_few_exchanged_coordinates_among_many_are_left_to_the_report(tmp_path):
    count = 300
    table = pd.DataFrame({"survey_id": range(count), "lon": 3.5, "lat": 45.0, "year": 2020, "uncertainty_m": 1.0})
    table["species"] = [[0]] * count
    table.loc[7, ["lon", "lat"]] = [48.1, 20.5]
    write_surveys(UPath(tmp_path) / "surveys.parquet", table, SPECIES, "occurrence")
    table.loc[:3, ["lon", "lat"]] = [48.1, 20.5]
    with pytest.raises(InputError, match="5 of 300 surveys"):
        write_surveys(UPath(tmp_path) / "surveys.parquet", table, SPECIES, "occurrence")


@pytest.mark.parametrize(
    ("species", "message"),
    [
        (SPECIES.drop(columns="name"), "needs species_id and name; found species_id, gbif_key"),
        (SPECIES.assign(species_id=[0, 2, 1]), "must count 0, 1, 2"),
        (SPECIES[:0], "holds no species"),
    ],
)
def test_faults_of_the_species_are_named(tmp_path, surveys, species, message):
    with pytest.raises(InputError, match=message):
        write_surveys(UPath(tmp_path) / "surveys.parquet", surveys, species, "occurrence")


def test_files_that_cannot_be_read_are_named(tmp_path, surveys):
    path = UPath(tmp_path) / "surveys.parquet"
    with pytest.raises(InputError, match=r"surveys\.parquet: no such file"):
        read_surveys(path)
    path.write_bytes(b"not a table")
    with pytest.raises(InputError, match=r"surveys\.parquet: is damaged, or no Parquet file"):
        read_surveys(path)
    write_surveys(path, surveys, SPECIES, "occurrence")
    path.write_bytes(path.read_bytes()[:400])  # a copy that was cut short
    with pytest.raises(InputError, match=r"surveys\.parquet: is damaged, or no Parquet file"):
        read_surveys(path)
    surveys.to_parquet(path)
    with pytest.raises(InputError, match="does not say its probability_kind"):
        read_kind(path)
    write_surveys(path, surveys, SPECIES, "occurrence")
    (path.parent / "species.parquet").unlink()
    with pytest.raises(InputError, match=r"species\.parquet: no such file"):
        read_surveys(path)

"""The GeoLifeCLEF editions and GeoPlant: every label is kept, every layout is found, every patch is in its bands."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.geolifeclef import tables as geolifeclef
from sdm_ray.sources.geolifeclef.config import ChallengePatches, ChallengeSurveys
from sdm_ray.sources.photos import pack
from sdm_ray.stores.shards import Shards

JOB = PrepareConfig(land={"source": "virtual"})
PA_23 = "glc23/Presence_Absences_occurrences/Presences_Absences_train_sample.csv"
PO_23 = "glc23/Presence_only_occurrences/Presences_only_train_sample.csv"
CBN_MED = "glc24-cbnmed/glc24_pa_train_CBN-med_val-10.0min.csv"


def surveys_of(table: Path, source: str = "glc24", **settings):
    return geolifeclef.surveys(ChallengeSurveys(source=source, table=str(table), **settings), JOB)


def labels(found) -> set[tuple[str, int]]:
    """Pairs of survey and the challenge's number of a species."""
    names = found.species["name"].astype(int).to_numpy()
    pairs = zip(found.surveys["survey_id"], found.surveys["species"], strict=True)
    return {(survey, int(name)) for survey, species in pairs for name in names[species]}


def test_a_survey_keeps_all_its_species(data):
    found = surveys_of(data / CBN_MED)
    rows = pd.read_csv(data / CBN_MED)
    assert found.kind == "occurrence"
    assert (len(rows), len(found.surveys), len(found.species)) == (7717, 381, 1100)
    assert labels(found) == set(zip(rows["surveyId"].astype(str), rows["speciesId"].astype(int), strict=True))
    assert found.surveys["species"].map(len).sum() == 7376
    assert found.report.facts["repeated_rows"] == 7717 - 7376


def test_areas_are_kept_where_they_are_numbers(data):
    found = surveys_of(data / "glc24/metadata.csv", records="PA")
    rows = pd.read_csv(data / "glc24/metadata.csv")
    assert np.isneginf(rows["areaInM2"]).any()
    area = found.surveys.set_index("survey_id")["area_m2"]
    known = rows[np.isfinite(rows["areaInM2"])].groupby(rows["surveyId"].astype(str))["areaInM2"].max()
    assert area.dropna().to_dict() == known.to_dict()
    assert found.report.facts["surveys_of_unknown_area"] == area.isna().sum() == 20
    assert found.report.noted["survey_of_two_areas"] == ["2357522"]  # 100 and 0.1 square metres in the real table
    assert area["2357522"] == 100


def test_presence_only_tables_give_relative_probabilities(data, tmp_path):
    rows = pd.read_csv(data / "glc24/metadata.csv").drop(columns=["areaInM2", "region", "country", "subset"])
    path = tmp_path / "GLC24_P0_metadata_train.csv"  # the publisher's zero
    rows.assign(publisher="Pl@ntNet", month=5, day=2, dayOfYear=122, county="", disctrict="").to_csv(path, index=False)
    found = surveys_of(path)
    assert found.kind == "relative"
    assert "area_m2" not in found.surveys
    assert labels(found) == set(zip(rows["surveyId"].astype(str), rows["speciesId"].astype(int), strict=True))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows.drop(columns="speciesId"), "has no column speciesId, as in a test table"),
        (lambda rows: rows.assign(speciesId=np.nan), "column speciesId is blank, as in a test table"),
    ],
)
def test_a_test_table_is_no_table_of_surveys(data, tmp_path, spoil, said):
    path = tmp_path / "GLC24_PA_metadata_test.csv"
    spoil(pd.read_csv(data / "glc24-cbnmed/GLC24-PA-data_subset.csv")).to_csv(path, index=False)
    with pytest.raises(InputError, match=said):
        surveys_of(path)
    patches = ChallengePatches(source="glc24", table=str(path), folder=str(data / "glc24-cbnmed"))
    assert len(read_all(geolifeclef.images(patches, JOB))) == 17


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{source: glc24, table: metadata.csv}", "its name holds neither PA nor PO; expected records"),
        ("{source: glc24, table: GLC24_P0_metadata_train.csv, records: PA}", "is a PO table by its name"),
        ("{source: geoplant, table: a/PA_metadata_test_iid.csv, records: PO}", "is a PA table by its name"),
        ("{source: glc22, table: PA_a.csv}", "glc22"),
    ],
)
def test_the_records_must_be_known(tmp_path, text, said):
    file, table = tmp_path / "prepare.yaml", tmp_path / re.search(r"table: ([^,}]+)", text)[1]
    table.parent.mkdir(exist_ok=True)
    table.touch()
    file.write_text(f"surveys: {text}")
    with pytest.raises(InputError, match=said):
        load(file, PrepareConfig)


def test_the_example_is_a_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("SDM_RAY_DATA", str(tmp_path / "data"))
    example = Path(__file__).parents[3] / "configs/examples/prepare-geolifeclef.yaml"
    assert load(example, PrepareConfig).writes() == ["surveys.parquet", "shards", "series.zarr"]
    all_of_it = tmp_path / "prepare.yaml"
    all_of_it.write_text(re.sub(r"^  # (- source|  \w)", r"  \1", example.read_text(), flags=re.MULTILINE))
    shown = load(all_of_it, PrepareConfig).shards
    assert [each.source for each in shown] == ["glc24", "glc25", "geoplant", "glc23"]


def test_visits_of_2023_keep_all_their_species(data):
    found = surveys_of(data / PA_23, "glc23")
    rows = pd.read_csv(data / PA_23, sep=";")
    assert found.kind == "occurrence"
    assert len(found.surveys) == 99  # two of the 100 rows are of one visit
    visit = found.surveys.set_index("survey_id").loc["129117-2019-155"]
    assert {int(found.species["name"][each]) for each in visit.species} == {4669, 5501}
    ids = rows["patchID"].astype(str) + "-" + rows["year"].astype(str) + "-" + rows["dayOfYear"].map("{:03d}".format)
    assert labels(found) == set(zip(ids, rows["speciesId"], strict=True))
    at_one_place = found.surveys[np.isclose(found.surveys["lon"], -0.41187)]
    assert sorted(at_one_place["survey_id"]) == ["3008574-2018-105", "3008576-2020-250"]


def test_occurrences_of_2023(data):
    found = surveys_of(data / PO_23, "glc23")
    rows = pd.read_csv(data / PO_23, sep=";")
    assert found.kind == "relative"
    assert len(labels(found)) == len(rows) == 100
    assert found.report.lost == 0


def read_all(listed) -> dict[str, bytes]:
    with listed.opener.opened() as read:
        return {key: read(file) for key, file in zip(listed.rows["key"], listed.rows["file"], strict=True)}


def patches_of(source: str, table: Path, folder: Path, **settings):
    entry = ChallengePatches(source=source, table=str(table), folder=str(folder), **settings)
    return geolifeclef.images(entry, JOB)


def test_patches_of_2023_are_taken_once(data, tmp_path):
    rows = pd.read_csv(data / PO_23, sep=";")
    table = tmp_path / "Presences_only_train.csv"
    twice = pd.concat([rows, rows.head(3).assign(glcID=[1, 2, 3], speciesId=7, dayOfYear=200)])
    twice.to_csv(table, sep=";")  # with the nameless first column of the real tables
    listed = patches_of("glc23", table, data / "glc23", bands="nir")
    assert len(listed.rows) == 100
    assert set(listed.rows["ext"]) == {"jpg"}
    content = read_all(listed)
    (file,) = (data / "glc23/SatelliteImages/nir").rglob("5217083.jpeg")
    assert content["glc23-po-nir-5217083"] == file.read_bytes()
    surveys = listed.rows.set_index("key").loc["glc23-po-nir-5217083", ["survey_id", "survey_kind"]]
    assert surveys.tolist() == ["5217083-*", "relative"]
    assert len(surveys_of(table, "glc23").surveys) == 103  # the same patches on other days: other surveys


def test_broken_patches_are_left_out_by_name(data, tmp_path, ray_cluster):
    rows = pd.read_csv(data / "glc25/metadata.csv").query("surveyId == 5000108")
    table = tmp_path / "PA_metadata_test_ood.csv"
    pd.concat(rows.assign(surveyId=each) for each in (5000108, 5010108, 5020108)).to_csv(table, index=False)
    folder = tmp_path / "SatelitePatches/PA-test/08/01"
    shutil.copytree(data / "glc25/SatelitePatches/PA-test/08/01", folder)
    content = (folder / "5000108.tiff").read_bytes()
    (folder / "5010108.tiff").write_bytes(content[: len(content) // 2])
    listed = patches_of("glc25", table, tmp_path)
    shards = UPath(tmp_path / "shards")
    shards.mkdir()
    pack.pack(shards, [listed], 2)
    index = pack.finish(shards)
    assert index["key"].tolist() == ["glc25-rgbnir-5000108"]
    assert index["ext"].tolist() == ["npy"]
    assert index[["survey_id", "survey_kind"]].to_numpy().tolist() == [["5000108", "occurrence"]]
    assert listed.report.dropped["missing"] == ["5020108"]
    assert [key.split(" ")[0] for key in listed.report.dropped["unreadable"]] == ["5010108"]
    (stored,) = Shards(shards).read(np.array([0]))
    assert np.load(io.BytesIO(stored)).dtype == np.uint16


@pytest.fixture
def geoplant(data, tmp_path) -> Path:
    """The tree of GeoPlant's 2026 release from real rows and patches of 2024 and 2025."""
    root = tmp_path / "GeoPlantData"
    surveys = root / "PresenceAbsenceSurveys"
    surveys.mkdir(parents=True)
    rows = pd.read_csv(data / "glc24-cbnmed/GLC24-PA-data_subset.csv").drop(columns="subset")
    rows = rows.assign(county="", disctrict=None)
    rows.to_csv(surveys / "PA_metadata_train.csv", index=False)
    test = pd.read_csv(data / "glc25/metadata.csv").query("surveyId == 5000108")
    for split in ("iid", "ood", "glc25"):
        test.drop(columns="speciesId").to_csv(surveys / f"PA_metadata_test_{split}.csv", index=False)
    (root / "PresenceOnlyOccurrences").mkdir()
    presence_only = rows.drop(columns=["areaInM2", "region", "country"]).assign(publisher="x", dayOfYear=1)
    presence_only.to_csv(root / "PresenceOnlyOccurrences" / "PO_metadata_train.csv", index=False)
    satellite = root / "SatelliteData"
    jpeg = satellite / "Sentinel2Patches-jpeg" / "PA-Train-Sentinel2Patches-RGB+NIR"
    for bands in ("rgb", "nir"):
        shutil.copytree(data / "glc24-cbnmed/PA_Train_SatellitePatches" / bands, jpeg / f"pa_train_{bands}")
    tiff = satellite / "Sentinel2Patches-tiff" / "PA-Test-IID-Sentinel2Patches"
    shutil.copytree(data / "glc25/SatelitePatches/PA-test", tiff)
    return root


def test_the_tree_of_2026(geoplant):
    train, test = (geoplant / "PresenceAbsenceSurveys" / f"PA_metadata_{each}.csv" for each in ("train", "test_iid"))
    found = surveys_of(train, "geoplant")
    assert (len(found.surveys), len(found.species), found.kind) == (17, 227, "occurrence")
    assert surveys_of(geoplant / "PresenceOnlyOccurrences/PO_metadata_train.csv", "geoplant").kind == "relative"
    with pytest.raises(InputError, match=r"PA_metadata_test_ood\.csv: has no column speciesId"):
        surveys_of(geoplant / "PresenceAbsenceSurveys/PA_metadata_test_ood.csv", "geoplant")
    jpeg = patches_of("geoplant", train, geoplant, bands="rgbnir")
    assert len(read_all(jpeg)) == 17
    assert set(jpeg.rows["ext"]) == {"npy"}
    tiff = patches_of("geoplant", test, geoplant, format="tiff")
    assert list(read_all(tiff)) == ["geoplant-rgbnir-5000108"]

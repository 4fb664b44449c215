"""Series of real surveys: cubes and tables agree, axes are what they say, faults are named, work continues."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.sources import pack_series, prepare
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.geolifeclef import tables as geolifeclef
from sdm_ray.sources.geolifeclef.config import ChallengeSeries, ChallengeSurveys
from sdm_ray.stores import artefact
from sdm_ray.stores.series import Series

JOB = PrepareConfig(land={"source": "virtual"})
ID_24, ID_25 = "1322301", "5000108"
PA_23 = "glc23/Presence_Absences_occurrences/Presences_Absences_train_sample.csv"
PO_23 = "glc23/Presence_only_occurrences/Presences_only_train_sample.csv"
BANDS = ("red", "green", "blue", "nir", "swir1", "swir2")


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture
def run(tmp_path, uri):
    """Run prepare in one folder; returns the series."""

    def call(*entries: dict, folder: str = "run") -> UPath:
        values = {"run_dir": str(tmp_path / folder), "tracking": TrackingConfig(uri=uri), "series": list(entries)}
        config = PrepareConfig.model_validate(values)
        with tracking.start(config, "prepare") as tracker:
            prepare.run(config, tracker)
        return UPath(tmp_path / folder / "series.zarr")

    return call


def entry(source: str, table: Path, folder: Path, **settings) -> dict:
    return {"source": source, "table": str(table), "folder": str(folder), **settings}


def cube(data: Path, root: str, name: str) -> np.ndarray:
    (file,) = (data / root).rglob(f"*{name}*_cube.pt")
    return torch.load(file, weights_only=True).numpy()


@pytest.fixture
def cubes(data, tmp_path) -> tuple[Path, Path]:
    """A table of three surveys and a tree with the real cubes: one whole, one spoilt, one absent."""
    rows = pd.read_csv(data / "glc24/metadata.csv").query("surveyId == 1322301")
    table = tmp_path / "GLC24_PA_metadata_train.csv"
    some = [rows.assign(surveyId=number) for number in (1322301, 1322302, 1322303)]
    pd.concat(some).drop(columns="speciesId").to_csv(table, index=False)
    folder = tmp_path / "TimeSeries-Cubes"
    shutil.copytree(data / "glc24/TimeSeries-Cubes", folder)
    for name in ("landsat", "bioclim"):
        (file,) = folder.rglob(f"*{name}*.pt")
        (file.parent / file.name.replace(ID_24, "1322302")).write_bytes(
            file.read_bytes()[: 700 if name == "bioclim" else None]
        )
    return table, folder


def test_cubes_become_rows(data, cubes, run, ray_cluster, capsys):
    table, folder = cubes
    settings = entry("glc24", table, folder, max_dropped=0.5)
    place = run(settings)
    stored = Series(place)
    values, known = stored.at([ID_24, "1322303", "1322302"])
    np.testing.assert_array_equal(values["landsat"][0], cube(data, "glc24", "landsat"))
    np.testing.assert_array_equal(values["bioclim"][0], cube(data, "glc24", "bioclim"))
    assert known["landsat"].tolist() == [True, False, True]
    assert known["bioclim"].tolist() == [True, False, False]
    (report,) = json.loads((place / "report.json").read_text())
    assert report["dropped_keys"]["missing"] == ["bioclim 1322303", "landsat 1322303"]
    assert [each[:18] for each in report["dropped_keys"]["unreadable"]] == ["bioclim 1322302 (c"]
    figures = artefact.read_record(place).figures
    assert (figures["surveys"], figures["landsat"], figures["bioclim"], figures["dropped"]) == (3, 2, 1, 3)
    assert not (place / "parts").exists()
    run(settings)
    assert "finished and unchanged: kept" in capsys.readouterr().out


def test_too_many_faults_fail_and_mended_cubes_are_read_again(cubes, run, ray_cluster, capsys):
    table, folder = cubes
    with pytest.raises(InputError, match=r"3 of 6 rows cannot be used, .*: 2 missing, 1 unreadable"):
        run(entry("glc24", table, folder))
    for file in folder.rglob(f"*{ID_24}*"):
        for other in ("1322302", "1322303"):
            shutil.copy(file, file.parent / file.name.replace(ID_24, other))
    place = run(entry("glc24", table, folder))
    assert "continuing" in capsys.readouterr().out
    assert artefact.read_record(place).figures["bioclim"] == 3


def test_an_interrupted_run_goes_on_with_the_blocks_that_are_missing(data, cubes, run, ray_cluster, monkeypatch):
    rows = pd.read_csv(cubes[0])
    many = pd.concat([rows.head(1).assign(surveyId=number) for number in [*range(1100), int(ID_24)]])
    many.to_csv(cubes[0], index=False)
    settings = entry("glc24", *cubes, max_dropped=1)
    with monkeypatch.context() as patch:
        patch.setattr(pack_series, "finish", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    place = Path(str(cubes[0].parent / "run" / "series.zarr"))
    first, second = sorted((place / "parts").glob("*.json"))
    second.unlink()
    kept = first.stat().st_mtime_ns
    asked = []
    monkeypatch.setattr(pack_series, "_write_missing", _noting(pack_series._write_missing, asked, first))
    stored = Series(run(settings))
    assert asked == [([1024], kept)]
    values, known = stored.at([ID_24, "5"])
    np.testing.assert_array_equal(values["landsat"][0], cube(data, "glc24", "landsat"))
    assert known["landsat"].tolist() == [True, False]


def _noting(write, asked: list, part: Path):
    def noted(folder, rows, readers, starts):
        asked.append((starts, part.stat().st_mtime_ns))
        write(folder, rows, readers, starts)

    return noted


def read_of(source: str, table: Path, folder: Path, **settings):
    return geolifeclef.series(ChallengeSeries.model_validate(entry(source, table, folder, **settings)), JOB)


@pytest.mark.parametrize(("root", "key"), [("glc24", ID_24), ("glc25", ID_25)])
def test_the_axes_are_what_they_are_called(data, root, key):
    listed = read_of(root, data / root / "metadata.csv", data / root, records="PA")
    landsat, bioclim = (listed.reader.read(name, key) for name in ("landsat", "bioclim"))
    bands = dict(zip(listed.reader.specs["landsat"].axes["band"], landsat.mean(axis=(1, 2)), strict=True))
    assert bands["blue"] < bands["red"] < bands["swir2"] < bands["swir1"] < bands["nir"]  # vegetation
    rain, mean, highest, lowest = bioclim
    assert (lowest < mean).all()
    assert (mean < highest).all()
    celsius = mean / 10 - 273.15
    assert -5 < celsius.min() < celsius.max() < 25
    assert (celsius[:, 5:8].mean(axis=1) > celsius[:, [0, 1, 11]].mean(axis=1) + 8).all()  # the course of a year
    assert 300 < rain.sum(axis=1).mean() / 100 < 2000  # mm


def test_tables_of_2023_are_joined_by_their_keys(data):
    rows = pd.read_csv(data / PO_23, sep=";")
    listed = read_of("glc23", data / PO_23, data / "glc23")
    found = geolifeclef.surveys(ChallengeSurveys(source="glc23", table=str(data / PO_23)), JOB)
    assert set(listed.rows["survey_id"]) == set(found.surveys["survey_id"])
    tables = [pd.read_csv(data / f"glc23/SatelliteTimeSeries/time_series_{band}.csv", sep=";") for band in BANDS]
    raw = [table.set_index("timeSerieID").replace("eos", np.nan).astype(float) for table in tables]
    assert len({tuple(table.index) for table in raw}) > 1  # the bands' rows are in different orders
    for survey, key in zip(listed.rows["survey_id"], listed.rows["key"], strict=True):
        assert rows.loc[rows["timeSerieID"] == int(key), "patchID"].astype(str).item() == survey.split("-")[0]
        values = listed.reader.read("landsat", key)
        assert values.shape == (6, 4, 21)
        for band, table in enumerate(raw):
            expected = table.loc[int(key)].to_numpy().reshape(21, 4).T  # columns are 2000_1, 2000_2, ...
            np.testing.assert_array_equal(values[band], expected.astype(np.float32))
    ends = np.stack([listed.reader.read("landsat", key) for key in listed.rows["key"]])
    assert np.isnan(ends).sum() == 6 * 344


def test_visits_without_a_series_are_named(data, run, ray_cluster):
    place = run(entry("glc23", data / PA_23, data / "glc23", max_dropped=1))
    (report,) = json.loads((place / "report.json").read_text())
    assert len(report["dropped_keys"]["missing"]) == report["rows"] == 99
    assert "landsat 129117-2019-155" in report["dropped_keys"]["missing"]


def written_as_tables(data: Path, folder: Path) -> Path:
    """The real cubes of 2025 as the publisher's tables of values."""
    landsat, bioclim = cube(data, "glc25", "landsat"), cube(data, "glc25", "bioclim")
    place = folder / "TimeSeries/Landsat/values/PA-test-iid-landsat_time_series"
    place.mkdir(parents=True)
    quarters = [f"{year}_{quarter}" for year in range(2000, 2021) for quarter in range(1, 5)]
    for band, values in zip(BANDS, landsat, strict=True):
        table = pd.DataFrame([values.T.ravel()], columns=quarters)
        table.insert(0, "surveyId", int(ID_25))
        table.to_csv(place / f"PA-test-iid-landsat_time_series-{band}.csv", index=False)
    months = [(name, month, year) for name in range(4) for month in range(12) for year in range(19)]
    names = ("pr", "tas", "tasmax", "tasmin")
    climate = {f"Bio-{names[v]}_{month + 1:02d}_{2000 + year}": bioclim[v, year, month] for v, month, year in months}
    (folder / "TimeSeries/Bioclim/values").mkdir(parents=True)
    path = folder / "TimeSeries/Bioclim/values/PA-test-iid-bioclimatic_monthly.csv"
    pd.DataFrame([{"surveyId": int(ID_25), **climate}]).to_csv(path, index=False)
    return folder


def test_tables_and_cubes_agree(data, tmp_path):
    folder = written_as_tables(data, tmp_path)
    listed = read_of("geoplant", data / "glc25/metadata.csv", folder, records="PA", form="values")
    for name in ("landsat", "bioclim"):
        np.testing.assert_array_equal(listed.reader.read(name, ID_25), cube(data, "glc25", name))
    with pytest.raises(KeyError):
        listed.reader.read("landsat", "1027998")
    (climate,) = folder.rglob("*bioclim*.csv")
    pd.read_csv(climate).drop(columns="Bio-tas_03_2001").to_csv(climate, index=False)
    with pytest.raises(InputError, match=r"has no column Bio-tas_03_2001; found 911 of 912"):
        read_of("geoplant", data / "glc25/metadata.csv", folder, records="PA", form="values")


def test_cubes_of_another_kind_are_not_taken(data, cubes):
    table, folder = cubes
    (file,) = folder.rglob(f"*landsat*{ID_24}*")
    for spoilt, said in ((torch.zeros(6, 4, 20), r"is \(6, 4, 20\), expected \(6, 4, 21\)"), ({"a": 1}, "is dict")):
        content = io.BytesIO()
        torch.save(spoilt, content)
        file.write_bytes(content.getvalue())
        with pytest.raises(ValueError, match=said):
            read_of("glc24", table, folder).reader.read("landsat", ID_24)
    file.write_bytes(b"\x80\x02c__builtin__\neval\n.")  # a pickle that wants to run something
    with pytest.raises(ValueError, match="cannot be loaded"):
        read_of("glc24", table, folder).reader.read("landsat", ID_24)


def test_folders_that_are_wrong_are_named(data, tmp_path, cubes):
    with pytest.raises(InputError, match=r"glc23: has no landsat cubes; expected"):
        read_of("glc24", cubes[0], data / "glc23", series=["landsat"])
    with pytest.raises(InputError, match=r"glc24: has no table of monthly bioclimatic values"):
        read_of("glc24", cubes[0], data / "glc24", form="values")
    shutil.copytree(cubes[1], tmp_path / "TimeSeries-Cubes" / "test")
    with pytest.raises(InputError, match="has 2 folders of landsat cubes"):
        read_of("glc24", cubes[0], tmp_path / "TimeSeries-Cubes", series=["landsat"])


def test_a_survey_stands_in_one_source_only(cubes, run):
    with pytest.raises(InputError, match=f"survey {ID_24} is in two sources"):
        run(entry("glc24", *cubes, series=["landsat"]), entry("glc24", *cubes, series=["bioclim"]))

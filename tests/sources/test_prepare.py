"""The job: artefacts sealed alone, kept when unchanged, continued when interrupted; equal bytes."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.raster_files import write
from PIL import Image
from rasterio.transform import from_origin
from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.sources import prepare
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.photos import pack
from sdm_ray.stores import artefact
from sdm_ray.stores.shards import Shards
from sdm_ray.stores.surveys import read_surveys


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture
def run(tmp_path, uri):
    """Run prepare with some settings in one folder."""

    def call(folder: str = "run", **settings) -> Path:
        place = tmp_path / folder
        values = {"run_dir": str(place), "tracking": TrackingConfig(uri=uri), **settings}
        config = PrepareConfig.model_validate(values)
        with tracking.start(config, "prepare") as tracker:
            prepare.run(config, tracker)
        return place

    return call


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 90, 60)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def patches(tmp_path):
    """Ten patches in a zip, of which some can be spoilt; returns the source's settings."""

    def write(spoilt: dict[int, bytes | None] | None = None, **settings) -> dict:
        contents = {number: jpeg(number) for number in range(10)} | (spoilt or {})
        with zipfile.ZipFile(tmp_path / "patches.zip", "w") as archive:
            for number, content in contents.items():
                if content is not None:
                    archive.writestr(f"Forest/Forest_{number}.jpg", content)
        files = [f"Forest/Forest_{number}.jpg" for number in range(10)]
        table = pd.DataFrame({"file": files, "lon": np.linspace(5.1, 9.7, 10), "lat": 47.3})
        table.to_csv(tmp_path / "patches.csv", index=False)
        source = {"table": str(tmp_path / "patches.csv"), "images": str(tmp_path / "patches.zip")}
        return {"source": "eurosat", **source, **settings}

    return write


def digests(folder: Path) -> dict[str, str]:
    """Hash of every file; records name versions and times of sources, so they are left out."""
    files = (each for each in folder.rglob("*") if each.is_file() and each.name != "artefact.json")
    return {str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def test_images_become_shards_with_their_own_bytes(run, patches, ray_cluster):
    place = run(shards=[patches()], images_per_shard=4)
    shards = Shards(UPath(place / "shards"))
    assert shards.index["key"].tolist() == [f"eurosat-Forest_{number}" for number in range(10)]
    assert shards.read(np.array([7, 2])) == [jpeg(7), jpeg(2)]
    assert sorted(each.name for each in (place / "shards").iterdir()) == [
        "artefact.json", "index.parquet", "report.json", "shard-00000.tar", "shard-00001.tar", "shard-00002.tar",
    ]  # fmt: skip
    record = artefact.read_record(UPath(place / "shards"))
    assert record.figures["images_satellite"] == 10
    assert any("EuroSAT" in each for each in record.sources)
    again = run("again", shards=[patches()], images_per_shard=4)
    assert digests(again / "shards") == digests(place / "shards")


def test_unreadable_and_missing_images_are_left_out_by_name(run, patches, ray_cluster):
    spoilt = {3: jpeg(3)[:-300], 5: b"no image", 6: None}
    place = run(shards=[patches(spoilt, max_dropped=0.4)])
    assert len(Shards(UPath(place / "shards")).index) == 7
    (report,) = json.loads((place / "shards" / "report.json").read_text())
    assert report["dropped_keys"]["missing"] == ["Forest/Forest_6.jpg"]
    assert [each.split(" ")[0] for each in report["dropped_keys"]["unreadable"]] == [
        "Forest/Forest_3.jpg",
        "Forest/Forest_5.jpg",
    ]
    assert artefact.read_record(UPath(place / "shards")).figures["dropped"] == 3


def test_too_many_unreadable_images_fail_and_mended_ones_are_read_again(run, patches, ray_cluster):
    with pytest.raises(InputError, match=r"1 of 10 rows cannot be used, .*: 1 unreadable; first Forest/Forest_5\.jpg"):
        run(shards=[patches({5: jpeg(5)[:100]})], images_per_shard=5)
    place = run(shards=[patches()], images_per_shard=5)
    assert len(Shards(UPath(place / "shards")).index) == 10


def test_an_interrupted_run_continues(run, patches, ray_cluster, monkeypatch, capsys):
    source = patches()
    whole = run("whole", shards=[source], images_per_shard=2)
    with monkeypatch.context() as patch:
        patch.setattr(pack, "finish", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(shards=[source], images_per_shard=2)
    shards = Path(whole).parent / "run" / "shards"
    assert artefact.find_record(UPath(shards)) is None
    (shards / "parts" / "00003.parquet").unlink()
    kept = (shards / "shard-00001.tar").stat().st_mtime_ns
    redone = (shards / "shard-00003.tar").stat().st_mtime_ns
    place = run(shards=[source], images_per_shard=2)
    assert "continuing" in capsys.readouterr().out
    assert (shards / "shard-00001.tar").stat().st_mtime_ns == kept
    assert (shards / "shard-00003.tar").stat().st_mtime_ns > redone
    assert digests(place / "shards") == digests(whole / "shards")


def test_what_is_unchanged_is_kept_and_the_rest_rebuilt(run, tmp_path, capsys):
    table = tmp_path / "rows.csv"
    table.write_text("site,lon,lat,name\na,3.5,43.5,oak\nb,4.5,44.5,elm\n")
    surveys = {"source": "tables", "table": str(table), "probability_kind": "relative"}
    surveys["columns"] = {"survey": "site", "species": "name"}
    place = run(surveys=surveys)
    assert len(read_surveys(UPath(place / "surveys.parquet"))[0]) == 2
    assert json.loads((place / "surveys.parquet.report.json").read_text())[0]["rows"] == 2
    run(surveys={**surveys, "max_dropped": 0.5})  # decides nothing about the content
    assert capsys.readouterr().out.count("unchanged: kept") == 1
    table.write_text("site,lon,lat,name\na,3.5,43.5,oak\n")
    run(surveys=surveys)
    assert "changed input table" in capsys.readouterr().out
    assert len(read_surveys(UPath(place / "surveys.parquet"))[0]) == 1


def test_all_missing_files_are_found_before_anything_is_made(run, tmp_path):
    rasters = {"source": "rasters", "rasters": [str(tmp_path / "absent.tif")]}
    with pytest.raises(InputError, match=r"absent\.tif: no such file \(covariates.zarr: rasters.0\)"):
        run(land={"source": "virtual"}, virtual={"cells": 16, "species": 2}, covariates=rasters)
    assert not (tmp_path / "run" / "land.zarr").exists()


def test_the_small_virtual_landscape_is_whole_and_the_same_twice(run, ray_cluster):
    listed = {"source": "virtual"}
    settings = {
        "virtual": {"cells": 20, "species": 3},
        "surveys": {**listed, "surveys": 40},
        **{name: listed for name in ("land", "covariates", "truth", "cube")},
        "shards": [{**listed, "scale": scale, "photos": 12, "size": 32} for scale in ("plant", "landscape")],
    }
    place, again = run(**settings), run("again", **settings)
    for name in ("surveys.parquet", "land.zarr", "covariates.zarr", "truth.zarr", "cube.zarr", "shards"):
        assert artefact.read_record(UPath(place / name)).figures
    same, other = digests(place), digests(again)
    names = [name for name in same if not name.endswith(("artefact.json", "report.json"))]
    assert {name: same[name] for name in names} == {name: other[name] for name in names}


def test_a_raster_that_covers_few_surveys_is_refused_whenever_it_is_looked_at(run, tmp_path):
    lon, lat = np.meshgrid(np.linspace(10, 11, 6), np.linspace(50, 51, 6))
    rows = {"id": range(36), "lon": lon.ravel(), "lat": lat.ravel(), "species": "Abies alba"}
    pd.DataFrame(rows).to_csv(tmp_path / "plots.csv", index=False)
    raster = write(
        tmp_path / "rain.tif", np.ones((1, 40, 4), np.float32), from_origin(9.5, 51.5, 0.1, 0.05), "EPSG:4326"
    )
    surveys = {
        "source": "tables", "table": str(tmp_path / "plots.csv"), "probability_kind": "occurrence",
        "columns": {"survey": "id", "lon": "lon", "lat": "lat", "species": "species"},
    }  # fmt: skip
    settings = {"surveys": surveys, "covariates": {"source": "rasters", "rasters": [raster]}}
    with pytest.raises(InputError, match="rain is unknown at 36 of 36 surveys, max_unknown allows 50%"):
        run(**settings)
    with pytest.raises(InputError, match="rain is unknown at"):
        run(**settings)  # what is kept is looked at again
    settings["covariates"]["max_unknown"] = 1
    run(**settings)

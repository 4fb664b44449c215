"""`configs/geoplant` from the publisher's layout to the submission and its scores, on real surveys in that layout."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.embedding_files import unit_bytes

from sdm_ray import jobs
from sdm_ray.model_io import read_species_folder
from sdm_ray.readers.alphaearth import dequantised
from sdm_ray.stores.embedding_sources import component_names

STUDY = Path(__file__).parents[1] / "configs" / "geoplant"
PARTS = {"train": "train", "test_iid": "test-iid", "test_ood": "test-ood"}


def split(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Surveys east of the rest are out of the region of the training (ood), every eighth other one is a test (iid)."""
    places = rows.drop_duplicates("surveyId").sort_values("lon")
    ood = set(places["surveyId"].iloc[-40:])
    iid = set(places["surveyId"].iloc[:-40:8])
    which = rows["surveyId"].map(lambda each: "test_ood" if each in ood else "test_iid" if each in iid else "train")
    return {name: rows[which == name] for name in PARTS}


@pytest.fixture(scope="module")
def geoplant(data, tmp_path_factory) -> Path:
    """The folder above GeoPlantData; patches and series of all surveys are those of one published sample each."""
    folder = tmp_path_factory.mktemp("geoplant")
    root = folder / "GeoPlantData"
    rows = pd.read_csv(data / "glc24-cbnmed/glc24_pa_train_CBN-med_val-10.0min.csv").drop(columns=["geometry"])
    patch = next((data / "glc25/SatelitePatches").rglob("*.tiff"))
    cubes = {
        name: next((data / "glc24/TimeSeries-Cubes").rglob(f"*{name}*_cube.pt")) for name in ("landsat", "bioclim")
    }
    embeddings = dequantised(unit_bytes(1, 400)[:, 0]).T
    for name, part in split(rows).items():
        ids = part["surveyId"].unique()
        table = root / "PresenceAbsenceSurveys" / f"PA_metadata_{name}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        lists = part.groupby("surveyId")["speciesId"].apply(lambda each: " ".join(str(int(s)) for s in each))
        if name == "train":
            part.to_csv(table, index=False)
        else:
            part.drop_duplicates("surveyId").drop(columns=["speciesId"]).to_csv(table, index=False)
            lists.rename("speciesIds").reset_index().to_csv(table.parent / f"test_labels_{name[5:]}.csv", index=False)
        patches = {"train": "PA-Train", "test_iid": "PA-Test-IID", "test_ood": "PA-Test-OOD"}[name]
        for each in ids:
            text = f"{each:04d}"
            place = root / f"SatelliteData/Sentinel2Patches-tiff/{patches}-Sentinel2Patches/{text[-2:]}/{text[-4:-2]}"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(patch, place / f"{each}.tiff")
        for series, tree, stem in (
            ("landsat", f"Landsat/cubes/PA-{PARTS[name]}-landsat-time-series", "landsat-time-series"),
            ("bioclim", f"Bioclim/cubes/PA-{PARTS[name]}-bioclimatic-monthly", "bioclimatic_monthly"),
        ):
            place = root / "TimeSeries" / tree
            place.mkdir(parents=True)
            for each in ids:
                shutil.copy(cubes[series], place / f"GeoPlant-PA-{PARTS[name]}-{stem}_{each}_cube.pt")
        found = pd.DataFrame(embeddings[: len(ids)], columns=list(component_names("alphaearth", 64)))
        place = root / "SatelliteData/AlphaEarth"
        place.mkdir(parents=True, exist_ok=True)
        found.assign(surveyId=ids).to_parquet(place / f"PA-{PARTS[name]}-alphaearth.parquet")
    records = split(rows)["train"].sample(600, random_state=0)
    place = root / "PresenceOnlyOccurrences"
    place.mkdir()
    records.assign(surveyId=range(900_000, 900_600)).to_csv(place / "PO_metadata_train.csv", index=False)
    return folder


def test_the_study_from_published_files_to_scores(geoplant, ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("SDM_RAY_DATA", str(geoplant))
    common = [f"run_dir={tmp_path}", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"]
    location = ["location.hidden=16", "location.depth=1", "location.dim=8"]
    small = ["optim.precision=float32", "optim.ema=0.5", "optim.epochs=2", "optim.batch=128", "workers.count=0"]
    small += ["workers.gpus=0", "crossfit=false"]
    jobs.run_job("prepare", STUDY / "prepare.yaml", common)
    tower = ["name=test_convnext2", "norm=group", "dim=8"]
    images = [f"scales.satellite.tower.{each}" for each in [*tower, "weights=null"]]
    images += ["scales.satellite.size=32", "scales.satellite.batch=16", "optim.steps_per_epoch=3"]
    jobs.run_job("pretrain", STUDY / "pretrain.yaml", [*common, *small, *location, *images, "dim=8"])
    model = [f"model.satellite.{each}" for each in tower] + [f"model.{each}" for each in location]
    model += ["model.series.hidden=8", "model.series.depth=1", "model.series.dim=8", "model.hidden=32"]
    jobs.run_job(
        "finetune", STUDY / "finetune.yaml", [*common, *small, *model, "images.satellite.size=32", "pooled=false"]
    )
    about = read_species_folder(tmp_path / "model")
    assert [str(each) for each in about.embeddings] == ["alphaearth v1 of the year of each survey"]
    for part in ("iid", "ood"):
        jobs.run_job("predict", STUDY / f"predict-{part}.yaml", common)
        output = tmp_path / f"predictions-{part}"
        answer = pd.read_csv(output / "sets.csv", dtype=str)
        asked = pd.read_csv(geoplant / f"GeoPlantData/PresenceAbsenceSurveys/PA_metadata_test_{part}.csv")
        assert set(answer["surveyId"]) == set(asked["surveyId"].astype(str)) and list(answer) == [
            "surveyId",
            "predictions",
        ]
        figures = json.loads((output / "metrics.json").read_text())
        assert figures["labelled_places"] == len(asked) and 0 < figures["f1"] < 1 and 0 < figures["auc"] < 1
        everything = "share_from_location_satellite_covariates_landsat_bioclim"
        shares = {name: value for name, value in figures.items() if name.startswith("share_from")}
        assert max(shares.values()) > 0.9 and np.isclose(sum(shares.values()), 1), (everything, shares)

"""`configs/cbn-med` whole, on the published samples: three scales, patches and photos, maps, scores, coordinates."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray import jobs
from sdm_ray.config import load
from sdm_ray.model_io import load_encoder, read_species_folder
from sdm_ray.stores.maps import Map

STUDY = Path(__file__).parents[1] / "configs" / "cbn-med"
LOCATION = ["location.hidden=16", "location.depth=1", "location.dim=8"]
TOWER = ["name=test_convnext2", "dim=8"]
FOLDS = ["blocks.folds=2", "blocks.size_m=20000"]  # of others some leave no landscape to train on


def run(job: str, changes: list[str], *, file: str | None = None) -> None:
    jobs.run_job(job, STUDY / f"{file or job}.yaml", changes)


@pytest.fixture(scope="module")
def study(data, ray_cluster, tmp_path_factory) -> UPath:
    """A run folder with everything that the study makes, by a tiny model."""
    folder = tmp_path_factory.mktemp("cbn-med")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDM_RAY_DATA", str(data))
        common = [f"run_dir={folder}", f"tracking.uri=sqlite:///{folder}/mlflow.db"]
        run("prepare", common)
        fit = [*common, *FOLDS, "optim.batch=32", "workers.count=0"]
        scales = [f"scales.{scale}.tower.{each}" for scale in ("plant", "landscape", "satellite") for each in TOWER]
        scales += [
            f"scales.{scale}.{each}" for scale in ("plant", "landscape", "satellite") for each in ("size=32", "batch=8")
        ]
        run("pretrain", [*fit, *LOCATION, *scales, "dim=8", "optim.epochs=1", "optim.steps_per_epoch=4"])
        model = [f"model.{each}" for each in LOCATION] + ["model.hidden=16", "model.embedding=16", "model.depth=1"]
        model += [f"model.{scale}.{each}" for scale in ("plant", "satellite") for each in TOWER]
        model += ["images.plant.size=32", "images.satellite.size=32", "pooled=false", "optim.epochs=2"]
        run("finetune", [*fit, *model])
        run("map", [*common, "levels=0"], file="map-crossfit")
        run("map", [*common, "resolution_m=1000", "levels=0", "extent=[3700000,2200000,3900000,2400000]"])
        run("evaluate", [*common, *FOLDS, "baselines=[{kind: logistic, features: both}]", "resamples=10"])
        run("evaluate", [*common, "resamples=10"], file="evaluate-coordinates")
        run("predict", common)
    return UPath(folder)


def test_the_model_knows_three_scales_and_looks_at_patches_and_photos(study):
    assert set(load_encoder(study / "encoder").model().towers) == {"plant", "landscape", "satellite"}
    about = read_species_folder(study / "model")
    assert set(about.photos) == {"satellite", "plant"} and about.folds == 2 and about.pretraining != "none"
    assert len(about.config.covariates) == 27


def test_maps_lie_in_the_territory_and_are_scored(study):
    found = Map(study / "map.zarr")
    cells = json.loads((study / "map.zarr" / "artefact.json").read_text())["figures"]["cells"]
    assert 5_000 < cells < 40_000 and np.isfinite(found.layer("richness")).sum() == cells
    figures = json.loads((study / "evaluation" / "metrics.json").read_text())
    assert 0 < figures["blocks"]["values"]["auc"]["map"]["value"] < 1
    wrong = json.loads((study / "evaluation-coordinates" / "metrics.json").read_text())["coordinates"]
    assert {"plant", "landscape", "satellite"} <= set(wrong)


def test_predictions_are_made_from_the_surveys_own_patches(study):
    answer = pd.read_csv(str(study / "predictions" / "sets.csv"))
    assert len(answer) == 17 and answer["predictions"].str.split().map(len).min() > 0
    figures = json.loads((study / "predictions" / "metrics.json").read_text())
    seen = sum(value for name, value in figures.items() if name.startswith("share_from") and "satellite" in name)
    assert seen == pytest.approx(1)


def test_label_fractions_are_compared_with_and_without_pretraining_and_images(data, monkeypatch):
    monkeypatch.setenv("SDM_RAY_DATA", str(data))
    config = load(STUDY / "compare.yaml", jobs.config_class("compare"))
    assert config.method("from scratch").encoder is None and config.method("pretrained").encoder == "encoder"
    assert not config.method("without images").model.towers and None in config.shots
    assert all(each.shuffled for each in config.method("shuffled images").images.values())

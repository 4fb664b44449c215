"""Patches and photos as inputs of the species model: learnt from, done without, and those of a real challenge."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small import LOCATION, TOWER, settings
from upath import UPath

import sdm_ray
from sdm_ray import jobs
from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.mapping import predict_job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.metrics.ranking import auc
from sdm_ray.model_io import Photos, read_species_folder
from sdm_ray.models.distributed import Ranks
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.stores.surveys import read_surveys
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.execution import tensors
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning

PHOTOS = {**TOWER, "bands": 3, "mean": [120], "std": [50], "nodata_zero": False}
EXAMPLES = Path(__file__).parents[3] / "configs" / "examples"
WITH = 200  # of the 300 surveys the first have a photo


def with_photos(**changes) -> dict:
    """Settings of a model that knows places by their photos alone."""
    model = {"location": None, "plant": PHOTOS, "hidden": 16, "depth": 1, "embedding": 8}
    images = {"plant": {"shards": "shards", "size": 32, "within_m": 10}}
    return settings(covariates=None, images=images, crossfit=False) | {"model": model} | changes


def test_what_photos_show_is_learnt_and_places_without_get_an_answer(world, ray_cluster):
    config = FinetuneConfig(run_dir=str(world), **with_photos(optim={"lr": 0.01, "epochs": 8, "batch": 32}))
    table = finetune_data.read_table(config)
    study = FineTuning(config, table, "")
    trained = trainer.run(study.fit(0), Ranks(), NoCheckpointer(), Reporter())
    split = table.split(0)
    held_out = np.setdiff1d(np.arange(300), np.concatenate([split.train, split.validation, split.calibrate]))
    logits = finetune_data.predict(trained.objective.model, table.dataset, held_out, Ranks())
    seen = held_out < WITH
    scores = auc(table.labels.dense(held_out[seen]), logits[seen])
    assert scores[0] > 0.9 and scores[1] > 0.9  # Wet and Dry; of surveys that no model has seen, by nothing but photos
    assert np.isfinite(logits).all() and np.ptp(logits[~seen], axis=0).max() < 1e-5


def test_gradients_do_not_depend_on_how_a_batch_is_cut(world):
    values = with_photos(optim={"lr": 0.01, "epochs": 1, "batch": 16})
    values["model"] = {**values["model"], "dropout": 0, "modality_dropout": 0.3}
    config = FinetuneConfig(run_dir=str(world), **values)
    fit = FineTuning(config, finetune_data.read_table(config), "").fit(0)
    torch.manual_seed(0)
    objective = fit.objective().train()
    found = []
    for world_size in (1, 20):  # some of the twenty have no row, others none with a photo
        objective.zero_grad()
        for rank in range(world_size):
            ranks = Ranks(rank, world_size)
            batch = {name: tensors(stream.take(0, rank, world_size), ranks) for name, stream in fit.streams.items()}
            (objective(batch, ranks) / world_size).backward()
        found.append({name: each.grad.clone() for name, each in objective.named_parameters()})
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-6), name
    assert found[0]["model.plant.project.weight"].abs().max() > 0


@pytest.fixture(scope="module")
def model(world, execute, ray_cluster) -> UPath:
    values = with_photos(output="looking", optim={"epochs": 1, "batch": 64})
    values["model"] = {**values["model"], "location": LOCATION}
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    return UPath(world / "looking")


def test_a_prediction_takes_the_images_that_there_are(model, world, execute):
    assert read_species_folder(model).photos == {"plant": Photos(32, 10)}
    surveys = read_surveys(UPath(world) / "surveys.parquet")[0].iloc[[0, 1, 299]]
    predictor = sdm_ray.load_model(str(model))
    found = predictor.predict(surveys[["lon", "lat"]], shards=f"{world}/shards")
    assert found.index.get_level_values("inputs").tolist() == ["location plant", "location plant", "location"]
    bare = predictor.predict(surveys[["lon", "lat"]])
    assert np.allclose(found.iloc[2], bare.iloc[2]) and not np.allclose(found.iloc[0], bare.iloc[0])
    assert predictor.predict(surveys[["lon", "lat"]], shards={"plant": f"{world}/shards"}).equals(found)
    with pytest.raises(InputError, match="looks at images of plant in image shards"):
        predictor.predict(surveys[["lon", "lat"]], shards={"satellite": f"{world}/shards"})
    surveys[["survey_id", "lon", "lat"]].to_csv(f"{world}/places.csv", index=False)
    values = {"run_dir": str(world), "table": f"{world}/places.csv", "id": "survey_id", "model": "looking"}
    figures = execute(PredictConfig, predict_job.run, shards="shards", **values).figures
    assert figures["share_from_location_plant"] == pytest.approx(2 / 3)


def test_what_does_not_fit_is_named(world):
    def problem(**changes) -> str:
        with pytest.raises((InputError, ValueError)) as caught:
            finetune_data.read_table(FinetuneConfig(run_dir=str(world), **with_photos(**changes)))
        return str(caught.value)

    assert "none of the 300 surveys has an image of scale plant by their ids" in problem(images={"plant": {}})
    assert "no images of scale satellite" in problem(
        model={"satellite": PHOTOS}, images={"satellite": {"shards": "shards"}}
    )
    assert "model.plant.bands: 2, but images of" in problem(model={"plant": {**PHOTOS, "bands": 2}})
    assert "needs `images.plant`, and only such" in problem(images={})
    assert "needs `cube` or `images.satellite`" in problem(images={}, model={"satellite": PHOTOS})
    assert "expected one source of satellite" in problem(
        cube="cube.zarr", model={"satellite": TOWER}, images={"satellite": {}}
    )


def test_the_example_of_a_challenge_fits_together(data, monkeypatch):
    monkeypatch.setenv("SDM_RAY_DATA", str(data))
    config = load(EXAMPLES / "finetune-geolifeclef.yaml", FinetuneConfig)
    made = load(EXAMPLES / "prepare-geolifeclef.yaml", PrepareConfig)
    assert config.reads() == ["surveys.parquet", "series.zarr", "shards"]
    assert set(config.model.series.names) == set(made.series[0].wanted())
    assert config.model.satellite.bands == 4 and made.shards[0].wanted() == "rgbnir"


def test_the_patches_of_a_real_challenge_reach_their_own_surveys(data, tmp_path, execute, ray_cluster):
    """GeoLifeCLEF 2024: four bands of 17 surveys, found by the surveys' ids."""
    table = f"{data}/glc24-cbnmed/GLC24-PA-data_subset.csv"
    entry = f"{{source: glc24, table: {table}, records: PA"
    config = UPath(tmp_path) / "prepare.yaml"
    folder = f"folder: {data}/glc24-cbnmed, bands: rgbnir, max_dropped: 0.2"
    config.write_text(f"surveys: {entry}}}\nshards: [{entry}, {folder}}}]\n")
    jobs.run_job("prepare", config, [f"run_dir={tmp_path}", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"])
    tower = {**TOWER, "bands": 4, "mean": [80], "std": [45], "trained_blocks": 0}
    values = with_photos(images={"satellite": {"size": 64}}, optim={"epochs": 1, "batch": 8})
    values |= {"model": {"location": LOCATION, "satellite": tower, "hidden": 8, "embedding": 8}}
    execute(FinetuneConfig, finetune.run, run_dir=str(tmp_path), **values | {"blocks": {"size_m": 10_000}})
    surveys = pd.read_parquet(f"{tmp_path}/surveys.parquet")
    found = sdm_ray.load_model(f"{tmp_path}/model").predict(surveys, shards=f"{tmp_path}/shards")
    assert (found.index.get_level_values("inputs") == "location satellite").mean() > 0.9
    assert len(found.drop_duplicates()) > len(surveys) / 2

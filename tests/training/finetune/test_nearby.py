"""What images around surveys look like as features of every place."""

import numpy as np
import pytest
import torch
from helpers.small import settings
from upath import UPath

import sdm_ray
from sdm_ray.errors import InputError
from sdm_ray.metrics.ranking import auc
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.surveys import read_surveys
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.nearby import main_components, statistics

NEARBY = {"scale": "plant", "size": 32, "ranges_km": [0.1, 2], "components": 3}
WITH = 200  # of the 300 surveys the first have a photo


def knowing_photos(**changes) -> dict:
    """Settings of a model that knows places by the photos around them alone."""
    model = {"location": None, "hidden": 16, "depth": 1, "embedding": 8}
    return settings(covariates=None, crossfit=False, nearby_images=NEARBY) | {"model": model} | changes


def scores(world, **changes) -> np.ndarray:
    """AUC of each species on held-out surveys with a photo."""
    changes = {"optim": {"lr": 0.01, "epochs": 8, "batch": 32}} | changes
    config = FinetuneConfig(run_dir=str(world), **knowing_photos(**changes))
    table = finetune_data.read_table(config)
    model = trainer.run(FineTuning(config, table, "").fit(0), Ranks(), NoCheckpointer(), Reporter()).objective.model
    rows = table.held_out(0)
    rows = rows[rows < WITH]
    return auc(table.labels.dense(rows), finetune_data.predict(model, table.dataset, rows, Ranks()))


def test_what_nearby_photos_show_is_learnt_and_shuffled_ones_show_nothing(world):
    assert scores(world)[:2].min() > 0.85
    assert scores(world, nearby_images={**NEARBY, "shuffled": True})[:2].mean() < 0.7


def test_a_model_keeps_its_images_and_needs_no_shards_to_predict(world, execute, ray_cluster):
    values = knowing_photos(output="nearby", optim={"epochs": 1, "batch": 64})
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    surveys = read_surveys(UPath(world) / "surveys.parquet")[0]
    found = sdm_ray.load_model(f"{world}/nearby").predict(surveys[["lon", "lat"]].head(50))
    assert found.iloc[:, 0].nunique() > 10


def test_too_few_places_are_refused(world):
    with pytest.raises(InputError, match=r"expected more than nearby_images\.components, 500"):
        finetune_data.read_table(
            FinetuneConfig(run_dir=str(world), **knowing_photos(nearby_images={**NEARBY, "components": 500}))
        )


def test_statistics_of_an_image_are_its_means_deviations_and_texture():
    stripes = torch.tensor([0.0, 10.0]).repeat(4).expand(1, 1, 8, 8)
    mean, deviation, texture = statistics(stripes)[0].tolist()
    assert mean == 5 and deviation == pytest.approx(5 * (64 / 63) ** 0.5) and texture == 5


def test_components_are_standardised_and_uncorrelated():
    values = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values[:, 1] = values[:, 0] + 0.1 * values[:, 1]
    found = main_components(values, 3).double()
    assert torch.allclose(found.T @ found / 199, torch.eye(3, dtype=torch.float64), atol=1e-5)
    assert main_components(values, 9)[:, 5:].abs().max() == 0

"""What images around surveys look like as features of every place."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
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
from sdm_ray.training.finetune import nearby
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.inputs_config import NearbyConfig
from sdm_ray.training.finetune.nearby import NearbyPhotos, features_of, main_components, statistics

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
    mean, deviation, texture = statistics(stripes, nodata_zero=False)[0].tolist()
    assert mean == 5 and deviation == pytest.approx(5 * (64 / 63) ** 0.5) and texture == 5


def test_components_are_standardised_and_uncorrelated():
    values = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values[:, 1] = values[:, 0] + 0.1 * values[:, 1]
    found = main_components(values, 3).double()
    assert torch.allclose(found.T @ found / 199, torch.eye(3, dtype=torch.float64), atol=1e-5)
    assert main_components(values, 9)[:, 5:].abs().max() == 0


def test_components_beyond_the_rank_are_nothing():
    """Repeated, summed and constant columns leave two dimensions; the rest is rounding."""
    values = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).float()
    values = torch.cat([values, 2 * values, values.sum(1, keepdim=True), torch.full((200, 2), 900.3)], 1).double()
    found = main_components(values, 6)
    assert found[:, :2].std(0).tolist() == pytest.approx([1, 1]) and found[:, 2:].abs().max() == 0
    grey = torch.full((50, 3, 16, 16), 7.3) + torch.randn(50, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    assert main_components(statistics(grey, nodata_zero=False), 8)[:, 1:].abs().max() == 0  # their mean varies alone


def test_pixels_without_data_are_in_no_statistic():
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(500, 900, (1, 2, 16, 16), generator=generator)
    half = torch.nn.functional.pad(whole[..., :8], (0, 8))
    found, expected = statistics(half, nodata_zero=True), statistics(whole[..., :8], nodata_zero=True)
    assert torch.allclose(found, expected) and found[0, 0] > 500
    assert statistics(half, nodata_zero=False)[0, 0] < 450  # of photos black is a colour
    one_dark_band = whole.clone()
    one_dark_band[:, 0] = 0
    assert statistics(one_dark_band, nodata_zero=True)[0, 1] == statistics(whole, nodata_zero=True)[0, 1]
    assert statistics(0 * whole, nodata_zero=True).isnan().all()


def patches(values: np.ndarray) -> NearbyPhotos:
    """Images of satellite patches at as many places."""
    photos = SimpleNamespace(
        shards="patches", rows=np.arange(len(values)), read=lambda ids, _: {"image_satellite": values[ids]}
    )
    config = NearbyConfig(size=8, components=2)
    return NearbyPhotos(config, photos, np.arange(len(values)), np.zeros((len(values), 2)))


def test_images_without_data_are_average_ones_and_numbers_that_are_none_are_named(world, monkeypatch, capsys):
    config = FinetuneConfig(run_dir=str(world), **settings())
    values = np.random.default_rng(0).uniform(500, 900, (12, 2, 8, 8)).astype(np.float32)
    values[3] = 0
    found = features_of(config, patches(values), None)
    assert found[3].abs().max() < 1e-5 and found[:3].abs().min() > 1e-3
    assert "1 of 12 have no data, and count as average ones" in capsys.readouterr().out
    values[5, 0, 2, 2] = np.nan
    index = pd.DataFrame({"key": [f"p{number}" for number in range(12)]})
    monkeypatch.setattr(nearby, "Shards", lambda path: SimpleNamespace(index=index))
    with pytest.raises(InputError, match=r"patches: image p5 of scale satellite has features that are not finite"):
        features_of(config, patches(values), None)
    with pytest.raises(InputError, match=r"patches: no image of scale satellite has any data"):
        features_of(config, patches(np.zeros_like(values)), None)

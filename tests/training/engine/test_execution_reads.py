"""Reads from the device in a step of training, for each of which a process would wait for its GPU: none.

The number that is held: one read of all losses every `check_steps` steps, whatever the model and its inputs.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import toy
from helpers.device_reads import reads

from sdm_ray.batch import Batch
from sdm_ray.models.augment import Augmentation
from sdm_ray.models.config import (
    AlignConfig,
    LocationConfig,
    NearbyImagesConfig,
    SeriesConfig,
    SpeciesConfig,
    TowerConfig,
)
from sdm_ray.models.contrastive_losses import info_nce, sigmoid
from sdm_ray.models.contrastive_model import COVARIATES, DENSE, AlignmentModel
from sdm_ray.models.distributed import ALONE
from sdm_ray.models.location import LocationEncoder
from sdm_ray.models.nearby_images import NearbyImages
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.streams.loader import Stream
from sdm_ray.streams.parts import InMemory
from sdm_ray.streams.sampler import Sampler
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.engine.execution import Execution
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune.objective import BACKGROUND, SURVEYS, PresenceLoss, Setting
from sdm_ray.training.finetune.presence_config import PresenceConfig
from sdm_ray.training.pretrain.objective import AlignmentLoss

ROWS, BATCH, STEPS, CHECK = 12, 6, 8, 4
LOCATION = LocationConfig(hidden=8, depth=1, dim=4)
SATELLITE = TowerConfig(bands=4, mean=(1000.0,), std=(500.0,), nodata_zero=True, dim=4)
PHOTO = TowerConfig(dim=4)


@dataclass(frozen=True)
class Rows:
    """Places with given inputs; of those with images some have none."""

    inputs: dict = field(repr=False)

    def parts(self):
        return [InMemory(self.read)]

    def read(self, ids, epochs):
        return Batch({name: values[ids] for name, values in self.inputs.items()})


def some(**more):
    rng = np.random.default_rng(0)
    lonlat = np.column_stack([rng.uniform(-5, 20, ROWS), rng.uniform(38, 60, ROWS)])
    return {"lonlat": lonlat, "place": np.arange(ROWS), **more}


def images(scale, *shape, lacking=False):
    rng = np.random.default_rng(1)
    has = np.arange(ROWS) % 3 > 0
    pixels = rng.integers(1, 255, (ROWS, *shape)).astype(np.uint8)
    found = {f"image_{scale}": pixels, f"draws_{scale}": rng.random((ROWS, 8), np.float32)}
    return found | ({f"has_{scale}": has} if lacking else {})


def counted(objective, inputs, **optim):
    """Names of what is read in 8 steps of training, of which every fourth looks at the losses."""
    fit = trainer.Fit(
        name="counted",
        seed=0,
        optim=OptimConfig(epochs=1, batch=BATCH, ema=0.9, **optim),
        steps_per_epoch=STEPS,
        streams={name: Stream(Rows(each), Sampler(ROWS, seed=1), BATCH) for name, each in inputs.items()},
        objective=lambda: objective,
        validate=lambda objective, ranks: {},
        save=lambda trained: None,
    )
    with reads() as found:
        trainer.run(fit, ALONE, NoCheckpointer(), Reporter(), Execution(check_steps=CHECK))
    return found.names


def test_a_step_without_a_model_to_speak_of(tmp_path):
    (fit,) = toy.Toy(str(tmp_path), steps_per_epoch=64, epochs=1)()
    fit = replace(fit, objective=toy.Squares, validate=lambda objective, ranks: {})
    with reads() as found:
        trainer.run(fit, ALONE, NoCheckpointer(), Reporter(), Execution(check_steps=16))
    assert found.names == ["tolist"] * (64 // 16)


@pytest.mark.parametrize("loss", ["info_nce", "sigmoid"])
def test_a_step_of_pretraining(loss):
    """With images that are turned, jittered and lose bands, photos, covariates, dense values and a moving average."""
    config = AlignConfig(
        location=LOCATION.model_copy(update={"anneal": True, "time": True}),
        towers={"satellite": SATELLITE, "plant": PHOTO},
        covariates=("rain", "heat"),
        dense=3,
        dim=4,
        bias=-10.0 if loss == "sigmoid" else None,
    )
    names = ("satellite", "plant", COVARIATES, DENSE)
    objective = AlignmentLoss(
        AlignmentModel(config),
        dict.fromkeys(names, 1.0),
        loss,
        radii={"satellite": 5000.0},
        augment={"satellite": Augmentation(turns=True, jitter=0.2, band_dropout=0.2), "plant": Augmentation()},
        batch_rows=dict.fromkeys(names, BATCH),
    )
    inputs = {
        "satellite": some(**images("satellite", 4, 32, 32)),
        "plant": some(**images("plant", 3, 32, 32), time=np.full((ROWS, 2), 100, np.float32)),
        COVARIATES: some(covariates=np.ones((ROWS, 2), np.float32)),
        DENSE: some(dense=np.ones((ROWS, 3), np.float32)),
    }
    assert counted(objective, inputs, precision="bfloat16") == ["tolist"] * (STEPS // CHECK)


@pytest.mark.parametrize(
    "presence",
    [
        {},
        {"loss": "asymmetric"},
        {"loss": "assume_negative", "background": "uniform"},
        {"loss": "max_entropy", "background": "uniform"},
    ],
)
def test_a_step_of_fine_tuning(presence):
    """With images that some places lack, some are hidden, partly known covariates, a series and a moving average."""
    config = SpeciesConfig(
        location=LOCATION,
        satellite=SATELLITE,
        plant=PHOTO,
        covariates=("rain", "heat"),
        partial_covariates=True,
        frequencies=2,
        frozen_location_features=(LocationConfig(kind="sincos"), LocationConfig(kind="harmonics", degrees=3)),
        series=SeriesConfig(axes={"climate": {"channel": ("a", "b"), "month": (1, 2, 3)}}, hidden=8, dim=4),
        image_distances=("plant",),
        hidden=8,
        depth=1,
        embedding=4,
    )
    hidden = {f"hide_{name}": np.arange(ROWS) % 4 == 0 for name in ("plant", "covariates", "series_climate")}
    surveys = some(
        **images("satellite", 4, 32, 32, lacking=True),
        **images("plant", 3, 32, 32, lacking=True),
        **hidden,
        distance_plant=np.ones(ROWS, np.float32),
        covariates=np.ones((ROWS, 2), np.float32),
        has_covariates=np.arange(2 * ROWS).reshape(ROWS, 2) % 5 > 0,
        series_climate=np.ones((ROWS, 2, 3), np.float32),
        has_series_climate=np.ones(ROWS, bool),
        labels=(np.arange(5 * ROWS).reshape(ROWS, 5) % 2).astype(np.uint8),
    )
    setting = Setting(PresenceConfig(**presence), BATCH)
    inputs = {SURVEYS: surveys} | ({BACKGROUND: surveys} if "background" in presence else {})
    objective = PresenceLoss(SpeciesModel(config, 5), setting)
    assert counted(objective, inputs) == ["tolist"] * (STEPS // CHECK)


@pytest.mark.parametrize("kind", ["ladder", "sincos", "harmonics", "hashgrid"])
def test_a_location_encoder(kind):
    encoder = LocationEncoder(LOCATION.model_copy(update={"kind": kind}))
    lonlat = torch.tensor([[8.0, 47.0]] * 6, dtype=torch.float64)
    with reads() as found:
        encoder(lonlat).sum().backward()
    assert found.names == []


@pytest.mark.parametrize("loss", [info_nce, partial(sigmoid, logit_bias=torch.tensor(-10.0))])
def test_a_contrast(loss):
    rng = torch.Generator().manual_seed(0)
    image, location = (torch.randn(12, 8, generator=rng, requires_grad=True) for _ in range(2))
    scale = torch.tensor(10.0, requires_grad=True)
    with reads() as found:
        value = loss(image, location, scale, place=torch.arange(12) // 2)
        value.backward()
    assert found.names == []


def test_images_nearby_are_looked_for_once_in_256_places():
    """The exception: how many images lie near some places is asked, so that not all of them are weighed."""
    nearby = NearbyImages(NearbyImagesConfig(places=3, components=2, ranges_km=(1.0, 10.0)))
    lonlat = torch.tensor([[8.0, 47.0]] * 300, dtype=torch.float64)
    with reads() as found:
        nearby(lonlat)
    assert found.names == ["nonzero"] * 2

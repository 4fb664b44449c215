"""The small country with a map of random probabilities that names its model, covariates and surveys."""

import numpy as np
import pandas as pd
import pytest
from helpers.small_country import models, world

from sdm_ray.geo.windows import whole
from sdm_ray.mapping.quality_layers import COVARIATES, LAYERS, LOCATION
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Map, MapSpec, create_map

__all__ = ["models", "world"]

CONFIG = {"model": "plain", "land": "land.zarr", "covariates": "covariates.zarr", "surveys": "surveys.parquet"}


@pytest.fixture(scope="session")
def mapped(world, models):
    place = world.folder / "unsure.zarr"
    species = pd.DataFrame({"species_id": range(5), "name": world.species})
    create_map(place, world.grid, MapSpec(species, "occurrence", 256, LAYERS))
    covered = world.land & world.covered
    inputs = np.where(world.land, LOCATION, 0) | np.where(covered, COVARIATES, 0)
    probability = np.random.default_rng(0).random((5, *world.grid.shape)).astype(np.float32)
    probability[:, ~world.land] = np.nan
    given = {"inputs": inputs.astype(np.uint8)}
    empty = {name: np.full(world.grid.shape, layer.fill, layer.dtype) for name, layer in LAYERS.items()}
    Map(place, writable=True).write(whole(world.grid), probability, empty | given)
    inputs = {name: artefact.read_record(world.folder / name).fingerprint for name in CONFIG.values()}
    record = artefact.Record(kind="map", fingerprint="f" * 32, config=CONFIG, inputs=inputs, sources=["made up"])
    artefact.seal(place, record)
    return world.folder

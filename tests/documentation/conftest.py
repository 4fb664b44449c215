"""The small country and its models, with an empty map of them that says what it was made from."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from helpers.small_country import models, world

from sdm_ray.documentation.facts import gather
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.quality_layers import LAYERS, SIMILARITY
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Map, MapSpec, create_map

__all__ = ["models", "world"]

INPUTS = ("land.zarr", "covariates.zarr", "surveys.parquet", "plain")


@pytest.fixture(scope="session")
def mapped(world, models):
    """Run folder with a sealed map."""
    place = world.folder / "described.zarr"
    species = pd.DataFrame({"species_id": range(5), "name": world.species})
    attrs = {"title": "Trees of two lands", "sdm_ray": {"effective_resolution_m": 2000.0, "pretraining": "none"}}
    create_map(place, world.grid, MapSpec(species, "occurrence", 64, LAYERS | SIMILARITY, attrs=attrs))
    surveyed = np.where(world.country == 1, 1, np.where(world.country == 2, 0, 255)).astype(np.uint8)
    found = Map(place, writable=True)
    for rows, cols in itertools.product(range(0, world.grid.height, 64), range(0, world.grid.width, 64)):
        window = Window(rows, cols, min(64, world.grid.height - rows), min(64, world.grid.width - cols))
        others = {
            name: np.zeros((window.height, window.width), spec.dtype) for name, spec in (LAYERS | SIMILARITY).items()
        }
        found.write_layers(window, others | {"surveyed_country": surveyed[window.slices]})
    config = {"model": "plain", "land": "land.zarr", "covariates": "covariates.zarr", "surveys": "surveys.parquet"}
    record = artefact.Record(
        kind="map",
        fingerprint="f" * 32,
        config={**config, "resolution_m": 1000},
        inputs={name: artefact.read_record(world.folder / name).fingerprint for name in INPUTS},
        sources=["made up", "a model"],
        figures={"cells": 100, "with_covariates": 60, "without_survey_in_country": 25},
        tools={"sdm-ray": "0.2.0", "torch": "2.15.0"},
    )
    artefact.seal(place, record)
    history = [{"loss": 0.5, "auc": 0.7, "bce": 0.4}, {"loss": 0.31, "auc": 0.8, "bce": 0.35}]
    metrics = {"auc": 0.8, "bce": 0.35, "best_epoch": 2, "surveys": {"train": 150}, "history": history}
    (world.folder / "plain" / "metrics.json").write_text(json.dumps(metrics))
    return world.folder


@pytest.fixture(scope="session")
def evaluation(mapped):
    """Figures of an evaluation with `explain`."""
    place = mapped / "evaluation"
    place.mkdir()
    score = {"value": 0.83, "low": 0.79, "high": 0.86}
    blocks = {"values": {"auc": {"map": score, "forest": score}, "average_precision": {"map": score}}}
    (place / "metrics.json").write_text(json.dumps({"blocks": blocks, "importance": {"rain": score}}))
    artefact.seal(place, artefact.Record(kind="evaluation", fingerprint="e" * 32))
    return place


@pytest.fixture(scope="session")
def facts(mapped):
    place = mapped / "described.zarr"
    return gather(place, artefact.read_record(place), lambda name: mapped / name)


@pytest.fixture(scope="session")
def scored(mapped, evaluation):
    place = mapped / "described.zarr"
    return gather(place, artefact.read_record(place), lambda name: mapped / name, evaluation)

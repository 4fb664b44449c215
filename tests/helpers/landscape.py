"""A planted landscape with a good cross-fitted map, and `evaluate` on it."""

from dataclasses import asdict

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.baselines.config import BoostingConfig, ForestConfig
from sdm_ray.evaluation.config import EvaluateConfig
from sdm_ray.evaluation.job import run
from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.job import Job
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.land import write_land
from sdm_ray.stores.maps import Map, MapSpec, create_map
from sdm_ray.stores.surveys import write_surveys
from sdm_ray.tracking import Tracker

GRID = Grid(4_000_000, 3_064_000, 1000, 64, 64)
NAMES = ["Abies alba", "Fagus sylvatica", "Quercus robur"]
BLOCKS = Blocks(size_m=8_000, folds=3)
CROSSFITTED = {"crossfitted": True, "held_out": "blocks", "blocks": asdict(BLOCKS)}
BASELINES = [ForestConfig(trees=10, min_samples_leaf=5), BoostingConfig(max_rounds=20, features="coordinates")]


def write_map(path, probability, kind="occurrence", **attrs):
    species = pd.DataFrame({"species_id": range(3), "name": NAMES})
    create_map(path, GRID, MapSpec(species, kind, 64, {}, bits=16, attrs={"sdm_ray": attrs}))
    Map(path, writable=True).write(Window(0, 0, 64, 64), probability, {})


def plant(folder: UPath) -> None:
    """Write surveys, maps, covariates and land, all sealed."""
    numbers = np.random.default_rng(0)
    rows, cols = np.mgrid[0:64, 0:64]
    climate = np.stack([np.sin(rows / 9), np.cos(cols / 7)]).astype(np.float32)
    logit = np.stack([3 * climate[0], 3 * climate[1], 2 * climate[0] - 2 * climate[1]]) - 1
    truth = (1 / (1 + np.exp(-logit))).astype(np.float32)
    noisy = (1 / (1 + np.exp(-logit - numbers.normal(size=logit.shape)))).astype(np.float32)
    sea = cols < 4
    for name, values, attrs in (
        ("truth.zarr", truth, {}),
        ("refit.zarr", noisy, {"crossfitted": False}),
        ("crossfit.zarr", noisy, CROSSFITTED),
    ):
        write_map(folder / name, np.where(sea, np.nan, values), **attrs)
    write_covariates(folder / "covariates.zarr", GRID, ["a", "b"], np.where(sea, np.nan, climate), 1000)
    write_land(folder / "land.zarr", GRID, ~sea, np.where(cols < 30, 1, 2).astype(np.int16), ["AT", "BE"])
    cell = numbers.choice(np.flatnonzero(~sea), 900, replace=False)
    here = numbers.random((900, 3)) < truth.reshape(3, -1)[:, cell].T
    lon, lat = to_lonlat(*GRID.centre(cell // 64, cell % 64))
    surveys = pd.DataFrame({"survey_id": range(900), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0})
    surveys["species"] = [np.flatnonzero(row).astype(np.int32) for row in here]
    species = pd.DataFrame({"species_id": range(4), "name": [*NAMES, "Rara avis"], "gbif_key": range(4)})
    write_surveys(folder / "surveys.parquet", surveys, species, "occurrence")
    for path in folder.iterdir():
        if path.name != "species.parquet":
            kind = "map" if "fit" in path.name else path.stem
            artefact.seal(path, artefact.Record(kind=kind, fingerprint="f" * 32))


def config_of(run_dir, **values):
    values = {
        "maps": {"map": "crossfit.zarr"},
        "covariates": "covariates.zarr",
        "blocks": BLOCKS,
        "baselines": BASELINES,
        "resamples": 30,
    } | values
    return EvaluateConfig(run_dir=str(run_dir), **values)


def evaluate(config, folder):
    """Run with a tracking server that is away, which costs log entries and never the job."""
    return run(config, Job(UPath(folder), "f" * 32, {}, False, Tracker("gopher://nobody", "none")))

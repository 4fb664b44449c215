"""A small generated country by the sea, with covariates that end inland and imagery of one corner."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from helpers.small_models import BLOCKS, PLAIN, SEEING, save_model
from upath import UPath

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.job import execute
from sdm_ray.mapping import embed
from sdm_ray.mapping import map as map_job
from sdm_ray.mapping.config import ComputeConfig, EmbedConfig, MapConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.land import write_land
from sdm_ray.stores.surveys import write_surveys

SPECIES = ["Abies alba", "Fagus sylvatica", "Ilex aquifolium", "Quercus robur", "Taxus baccata"]


@dataclass(frozen=True)
class World:
    folder: UPath
    grid: Grid
    land: np.ndarray  # bool (height, width)
    country: np.ndarray  # int16, 1 west, 2 east
    covered: np.ndarray  # bool: covariates are known
    imaged: np.ndarray  # bool: the cell's patch holds pixels
    surveys: np.ndarray  # bool: the cell has a survey
    species: list[str]


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    folder = UPath(tmp_path_factory.mktemp("world"))
    grid = Grid(4_000_000, 3_200_000, 1000, 208, 144)
    numbers = np.random.default_rng(3)
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width]
    land = (np.hypot(rows - 60, cols - 90) < 75) | (cols > 190)
    country = np.where(land, np.where(cols < 120, 1, 2), 0).astype(np.int16)
    write_land(folder / "land.zarr", grid, land, country, ["Westland", "Eastland"])
    wide = Grid(4_000_000, 3_200_000, 2000, 104, 72)
    covered = (rows // 2 > 10) & (cols // 2 < 80)
    values = numbers.normal(size=(3, 72, 104)).astype(np.float32)
    values[:, :11], values[:, :, 80:] = np.nan, np.nan
    write_covariates(folder / "covariates.zarr", wide, ["rain", "warmth", "lime"], values, 2000)
    pixels = Grid(4_000_000, 3_200_000, 250, 400, 320)  # the north-west
    create_cube(folder / "cube.zarr", pixels, ["2021"], ["red", "nir"], chunk=64, shard=128)
    cube = Cube(folder / "cube.zarr", writable=True)
    reflectance = numbers.integers(1, 5000, (2, 320, 400)).astype(np.uint16)
    cube.write(Window(0, 0, 320, 400), 0, reflectance, np.ones((320, 400), np.uint8))
    surveyed = np.zeros(land.shape, bool)
    some = numbers.choice(np.flatnonzero((country == 1).ravel()), 200, replace=False)
    surveyed.ravel()[some] = True
    lon, lat = to_lonlat(*grid.centre(some // grid.width, some % grid.width))
    table = pd.DataFrame({"survey_id": range(200), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0})
    table["species"] = [np.flatnonzero(each).astype(np.int32) for each in numbers.random((200, 5)) < 0.4]
    names = pd.DataFrame({"species_id": range(5), "name": SPECIES, "gbif_key": range(5)})
    write_surveys(folder / "surveys.parquet", table, names, "occurrence")
    for name in ("land.zarr", "covariates.zarr", "cube.zarr", "surveys.parquet"):
        artefact.seal(folder / name, artefact.Record(kind=name, fingerprint=name, sources=["made up"]))
    imaged = (rows < 80 + 1) & (cols < 100 + 1)  # a patch of 8 pixels reaches one cell over its own
    return World(folder, grid, land, country, covered, imaged, surveyed, SPECIES)


@pytest.fixture(scope="session")
def models(world):
    """Model folders in the world, and the models in them by name and fold."""
    made = {}
    for name, config in (("plain", PLAIN), ("seeing", SEEING)):
        made[name, None] = save_model(world.folder / name, config, world.species, None)
        for held_out in range(BLOCKS.folds):
            place = world.folder / name / "folds" / str(held_out)
            made[name, held_out] = save_model(place, config, world.species, held_out)
        artefact.seal(world.folder / name, artefact.Record(kind="model", fingerprint=name, sources=["a model"]))
    return made


_JOBS = {"map": (MapConfig, map_job.run, "map"), "embed": (EmbedConfig, embed.run, "embeddings")}


@pytest.fixture
def make(world, models, ray_cluster, tmp_path):
    """Runs a job in the world; returns what it made."""

    def made(output="map.zarr", job="map", **values):
        kind, run, artefact_kind = _JOBS[job]
        values = {"model": "plain", "covariates": "covariates.zarr", "surveys": "surveys.parquet", "tile": 64} | values
        values = {"compute": ComputeConfig(workers=2, cpus=0.5), "block": 16} | values
        if job == "map":
            values = {"levels": 1} | values
        config = kind(
            run_dir=str(world.folder),
            output=str(tmp_path / output),
            tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
            **values,
        )
        execute(job, config, run, artefact_kind)
        return UPath(config.output)

    return made

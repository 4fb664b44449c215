"""A tiny world in stores: surveys whose species follow a covariate, a cube and photos of the same places."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import toy
from helpers.small import GRID
from PIL import Image
from ray import cloudpickle
from upath import UPath

from sdm_ray import job
from sdm_ray.config import JobConfig
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import whole
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.shards import Sample, write_index, write_shard
from sdm_ray.stores.surveys import write_surveys

cloudpickle.register_pickle_by_value(toy)  # Ray's workers cannot import a test's module

SIDE = 64_000


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A run folder with surveys, covariates, cube and shards, all sealed."""
    folder = UPath(tmp_path_factory.mktemp("world"))
    rng = np.random.default_rng(0)
    wet = np.add.outer(np.sin(np.arange(64) / 9), np.cos(np.arange(64) / 7)).astype(np.float32)
    write_covariates(
        folder / "covariates.zarr", GRID, ["wet", "noise"], np.stack([wet, rng.normal(size=(64, 64))]), 1000
    )
    fine = Grid(GRID.x0, GRID.y1, 500, 128, 128)
    create_cube(folder / "cube.zarr", fine, ["2021"], ["red", "nir"], chunk=32, shard=128)
    bands = np.stack([np.kron(wet, np.ones((2, 2)))] * 2) * 800 + rng.integers(2000, 2500, (2, 128, 128))
    Cube(folder / "cube.zarr", writable=True).write(
        whole(fine), 0, bands.astype(np.uint16), np.ones((128, 128), np.uint8)
    )
    x, y = GRID.x0 + rng.uniform(0, SIDE, 300), GRID.y1 - rng.uniform(0, SIDE, 300)
    lon, lat = to_lonlat(x, y)
    at = wet[GRID.cell(x, y)]
    present = np.stack([at > 0.5, at < -0.3, rng.random(300) < 0.3], axis=1)
    surveys = pd.DataFrame(
        {"survey_id": np.arange(300), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0}
        | {"species": [np.flatnonzero(row).tolist() for row in present]}
    )
    species = pd.DataFrame({"species_id": [0, 1, 2], "name": ["Wet", "Dry", "Anywhere"], "gbif_key": [1, 2, 3]})
    write_surveys(folder / "surveys.parquet", surveys, species, "occurrence")
    photos = [Sample(f"p{i}", "png", _photo(at[i]), "plant", lon[i], lat[i], i) for i in range(200)]
    (folder / "shards").mkdir()
    write_index(folder / "shards", [write_shard(folder / "shards", 0, photos)])
    for name in ("surveys.parquet", "covariates.zarr", "cube.zarr", "shards"):
        artefact.seal(folder / name, artefact.Record(kind="test", fingerprint=name))
    return Path(str(folder))


def _photo(wetness: float) -> bytes:
    file = io.BytesIO()
    shade = int(np.clip(128 + 60 * wetness, 0, 255))
    Image.new("RGB", (20, 20), (shade, 255 - shade, 90)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def execute(tmp_path_factory):
    """Run a job as the command line does; returns its record."""
    database = tmp_path_factory.mktemp("tracking") / "mlflow.db"

    def run(kind: type[JobConfig], function, **values) -> artefact.Record:
        config = kind.model_validate({"tracking": {"uri": f"sqlite:///{database}"}, **values})
        job.execute(function.__module__.rpartition(".")[2], config, function, "test")
        return artefact.read_record(config.path(config.output))

    return run

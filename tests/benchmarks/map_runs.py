"""What bench_map.py runs: a map, the model alone, compression alone, and a plain loop."""

import time
from dataclasses import dataclass

import numcodecs
import numpy as np
import pandas as pd
import torch
import xarray as xr
from upath import UPath

from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import grid_of
from sdm_ray.geo.windows import tiles, whole
from sdm_ray.job import execute
from sdm_ray.mapping import map as map_job
from sdm_ray.mapping.cell_predictor import Recipe
from sdm_ray.mapping.config import MapConfig
from sdm_ray.model_io import Imagery, SpeciesFolder, describe_species, load_species_model
from sdm_ray.models.batch import inputs_of
from sdm_ray.models.config import LocationConfig, SpeciesConfig, TowerConfig
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores import artefact
from sdm_ray.stores.land import write_land
from sdm_ray.stores.maps import Map
from sdm_ray.stores.weights import save_weights

SIZE, SPECIES, SECONDS = 128, 65, 12.0
BANDS = ("blue", "green", "red", "nir")


@dataclass(frozen=True)
class Part:
    """One process's share of the bare forward passes."""

    id: str


def plant(folder: UPath, extent: tuple[float, float, float, float], satellite: bool = True) -> None:
    """Land and an untrained model of location and, where wanted, a ResNet-18 on a cube that lies there."""
    grid = grid_of(extent, 1000)
    land = np.ones(grid.shape, bool)
    write_land(folder / "land.zarr", grid, land, land.astype(np.int16), ["Land"])
    tower = TowerConfig(name="resnet18", bands=len(BANDS), mean=(1000.0,), std=(500.0,), nodata_zero=True)
    config = SpeciesConfig(location=LocationConfig(wavelengths_km=(200, 50)), satellite=tower if satellite else None)
    table = pd.DataFrame({"species_id": range(SPECIES), "name": map(str, range(SPECIES)), "gbif_key": 0})
    images = Imagery(BANDS, SIZE) if satellite else None
    about = SpeciesFolder(config, table, "recorded", Blocks(), None, 0, images, "none")
    torch.manual_seed(0)
    model = SpeciesModel(config, SPECIES)
    save_weights(folder / "model", model.state_dict(), describe_species(about), table, {})
    for name in ("land.zarr", "model", *(["cube"] if satellite else [])):
        place = next(iter(folder.glob("cube-*.zarr"))) if name == "cube" else folder / name
        artefact.seal(place, artefact.Record(kind=name, fingerprint=name))


def run(config: MapConfig) -> None:
    """The job."""
    execute("map", config, map_job.run, "map")


def equal(first: UPath, second: UPath, levels: int = 3) -> bool:
    """Whether all decoded arrays of two maps are equal, coarser levels and layers included."""
    for level in range(levels):
        a, b = Map(first, level), Map(second, level)
        if not np.array_equal(a.stored(whole(a.grid)), b.stored(whole(b.grid))):
            return False
        if any(not np.array_equal(a.layer(name), b.layer(name), equal_nan=True) for name in a.layers()):
            return False
    return True


def forward(shared: tuple[Recipe, int], part: Part) -> float:
    """Cells a second of probabilities of cells that are in memory, in one process with the recipe's threads."""
    recipe, cells = shared
    torch.set_num_threads(recipe.threads)
    loaded = load_species_model(UPath(recipe.model))
    rng = np.random.default_rng(0)
    lonlat = np.column_stack([rng.uniform(0, 20, cells), rng.uniform(40, 60, cells)])
    values = rng.normal(size=(cells, len(loaded.config.covariates))).astype(np.float32)
    images = None
    if loaded.about.satellite is not None:
        images = rng.integers(1, 5000, (cells, len(loaded.about.satellite.bands), SIZE, SIZE), dtype=np.uint16)
    batch = inputs_of(loaded.config, lonlat, values, np.ones(values.shape, bool), images)
    done, start = 0, 0.0
    with torch.inference_mode():
        loaded.model.probabilities(batch)
        start = time.monotonic()
        while time.monotonic() - start < SECONDS:
            loaded.model.probabilities(batch)
            done += cells
    return done / (time.monotonic() - start)


def compression(path: str) -> float:
    """Cells a second that one core compresses of a map's probabilities, as the map does."""
    record = Map(UPath(path))
    codec, tile = numcodecs.Zstd(level=3), record.tile
    window = max(
        (each.window for each in tiles(record.grid, tile)),
        key=lambda each: int((record.layer("inputs", each) > 0).sum()),
    )
    values = record.stored(window)
    cells = int((record.layer("inputs", window) > 0).sum())
    chunks = [
        np.ascontiguousarray(values[s : s + 16, r : r + 128, c : c + 128])
        for s in range(0, len(values), 16)
        for r in range(0, tile, 128)
        for c in range(0, tile, 128)
    ]
    start = time.monotonic()
    for chunk in chunks:
        codec.encode(chunk)
    return cells / (time.monotonic() - start)


def plain_loop(config: MapConfig, rows: int) -> float | None:
    """Cells a second of a loop over xbatcher's windows that writes each row of cells with xarray; None without it."""
    try:
        from xbatcher import BatchGenerator
    except ImportError:
        return None
    model = load_species_model(config.path(config.model)).model
    done = Map(config.path(config.output))
    count, overlap = done.grid.width - 1, SIZE - 100
    data = xr.open_zarr(config.cube, mask_and_scale=False, consolidated=False).reflectance.isel(time=0)
    data = data.isel(x=slice(0, count * 100 + overlap), y=slice(0, rows * 100 + overlap))
    windows = BatchGenerator(data, {"x": SIZE, "y": SIZE}, {"x": overlap, "y": overlap})
    target = config.path("plain.zarr")
    shape = (SPECIES, rows, count)
    empty = xr.Dataset({"probability": (("species", "y", "x"), np.zeros(shape, np.uint16))})
    empty.to_zarr(str(target), zarr_format=3, consolidated=False)
    lon = np.linspace(9, 10, count)
    model.eval()
    start = time.monotonic()
    with torch.inference_mode():
        for row in range(rows):
            images = np.stack([windows[row * count + col].values for col in range(count)])
            lonlat = np.column_stack([lon, np.full(count, 50.0)])
            batch = inputs_of(
                model.config, lonlat, np.zeros((count, 0), np.float32), np.zeros((count, 0), bool), images
            )
            p = (model.probabilities(batch).numpy().T * 65534).astype(np.uint16)
            part = xr.Dataset({"probability": (("species", "y", "x"), p[:, None])})
            part.to_zarr(str(target), region={"y": slice(row, row + 1), "x": slice(0, count), "species": slice(None)})
    return rows * count / (time.monotonic() - start)

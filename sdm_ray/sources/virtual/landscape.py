"""The demo's source: every artefact of one virtual landscape (`virtual_world`)."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.windows import tiles, whole
from sdm_ray.job import Job
from sdm_ray.sources.base import ImageList, LandTable, LayerTable, Report, SurveyTables, place_id
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.virtual.config import Virtual, VirtualPhotos, VirtualSurveys
from sdm_ray.sources.virtual.drawn_photos import Scenes
from sdm_ray.sources.virtual.management import build, parcels
from sdm_ray.sources.virtual.random_field import smooth_field
from sdm_ray.sources.virtual.world import CLIMATE, CROP, World, covariate_cells
from sdm_ray.stores import cube as cube_store
from sdm_ray.stores import maps, pyramid
from sdm_ray.stores.geoparquet import write_geoparquet

_BANDS = ("blue", "green", "red", "nir")
_SPECTRA = np.array(
    [
        [240, 420, 300, 2900],  # forest
        [430, 760, 580, 3500],  # grass
        [480, 800, 680, 3300],  # crop, green; ripe fields are mixed with _RIPE
        [420, 400, 260, 110],  # water
        [1150, 1480, 1850, 2500],  # bare
    ],
    np.float32,
)
"""Surface reflectance x 10,000 of each class in each band, of the size that Sentinel-2 shows in summer."""
_RIPE = np.array([820, 1240, 1620, 2700], np.float32)
_SCENES = 6  # clear scenes behind a pixel that no cloud hides
_EPITHETS = (
    "alba montana palustris sylvatica arvensis rubra pratensis aquatica nana vulgaris saxatilis borealis maritima "
    "glauca hirta lutea odorata repens serotina tenuis umbrosa verna viridis zonata"
)


def surveys(source: VirtualSurveys, config: PrepareConfig) -> SurveyTables:
    """Surveys at random places, with species drawn from their true probabilities."""
    world = build(config.virtual, config.seed)
    rng = np.random.default_rng([config.seed, 20])
    # Sampling bias: some areas are visited several times as often as others.
    reach = np.exp(0.6 * smooth_field(world.grid.shape, 8, rng))
    row, col = world.draw_places(source.surveys, rng, reach)
    lon, lat = world.lonlat(row, col)
    probability = world.probability[:, row // world.side, col // world.side]
    seen = rng.random(probability.shape) < probability
    table = pd.DataFrame(
        {
            "survey_id": [f"V{number:05d}" for number in range(source.surveys)],
            "lon": lon,
            "lat": lat,
            "year": 2024,
            "uncertainty_m": 10.0,
            "country": np.array(["", *_COUNTRIES])[_country(world)[row // world.side, col // world.side]],
            "species": [np.flatnonzero(each).astype(np.int32) for each in seen.T],
        }
    )
    return SurveyTables(table, species_table(world), "occurrence", Report("virtual surveys", source.surveys))


def species_table(world: World) -> pd.DataFrame:
    """The virtual species, with invented names."""
    count = world.config.species
    epithets = _EPITHETS.split()
    epithets += [f"sp. {number}" for number in range(len(epithets) + 1, count + 1)]
    names = [f"Ficta {epithet}" for epithet in epithets[:count]]
    return pd.DataFrame({"species_id": range(count), "name": names, "gbif_key": pd.array([pd.NA] * count, "Int64")})


def land(source: Virtual, config: PrepareConfig) -> LandTable:
    """Cells that are mostly land, of two countries."""
    world = build(config.virtual, config.seed)
    return LandTable(world.grid, world.land, _country(world), list(_COUNTRIES))


def covariates(source: Virtual, config: PrepareConfig) -> LayerTable:
    """Climate at a coarser resolution and with some error."""
    grid, values = covariate_cells(build(config.virtual, config.seed))
    return LayerTable(grid, list(CLIMATE), values, grid.resolution)


def truth(source: Virtual, config: PrepareConfig, path: UPath) -> dict[str, Any]:
    """The true probabilities as a map."""
    world = build(config.virtual, config.seed)
    spec = maps.MapSpec(
        species=species_table(world),
        probability_kind="occurrence",
        tile=maps.CELL_CHUNK,
        layers={},
        bits=16,
        attrs={"title": "True probability of the virtual species"},
    )
    maps.create_map(path, world.grid, spec)
    store = maps.Map(path, writable=True)
    probability = world.probability
    for tile in tiles(world.grid, maps.CELL_CHUNK):
        store.write(tile.window, probability[:, *tile.window.slices], {})
    pyramid.create_levels(path, 0)
    mean = np.nanmean(probability, axis=(1, 2))
    return {"species": len(mean), "lowest_prevalence": float(mean.min()), "highest_prevalence": float(mean.max())}


def cube(source: Virtual, config: PrepareConfig, job: Job) -> dict[str, Any]:
    """Surface reflectance of one summer in four bands."""
    world = build(config.virtual, config.seed)
    reflectance, count = render(world)
    year = 2024 if config.virtual.management is None else config.virtual.management.year
    cube_store.create_cube(job.output, world.pixels, [f"{year}-summer"], list(_BANDS))
    store = cube_store.Cube(job.output, writable=True)
    for tile in tiles(world.pixels, store.shard):
        store.write(tile.window, 0, reflectance[:, *tile.window.slices], count[tile.window.slices])
    size = whole(world.pixels)
    return {"pixels": size.size, "bands": len(_BANDS), "nodata_share": float((count == 0).mean())}


def render(world: World) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Satellite image: (4, height, width) reflectance x 10,000, and the number of clear scenes.

    Spectra of the classes, ripe and green fields, shadow by relief, drier and wetter vegetation, grain, the blur of
    the instrument, and a few places where clouds left nothing.
    """
    managed = world.config.management is not None
    rng = np.random.default_rng([world.seed, 30, *([1] if managed else [])])  # another year: other light and clouds
    shape, step = world.pixels.shape, world.pixels.resolution
    ripe = rng.random(world.parcel.max() + 1).astype(np.float32)[world.parcel] * (world.cover == CROP)
    vigour = 1 + 0.12 * smooth_field(shape, 1200 / step, rng) + 0.05 * rng.standard_normal(shape, dtype=np.float32)
    down, across = np.gradient(world.relief, np.float32(step))
    # Sun from the south-east, as when Sentinel-2 passes; the sea lies flat.
    light = np.where(world.sea, 1, np.clip(1 + 1.6 * (down + across), 0.7, 1.3)).astype(np.float32)
    out = np.empty((4, *shape), np.uint16)
    for band in range(4):
        values = _SPECTRA[:, band][world.cover]
        values += ripe * (_RIPE[band] - values)
        values *= light * (vigour if band == 3 else 2 - vigour)  # lush leaves: more infrared, less visible
        values = ndimage.gaussian_filter(values, 0.55)
        values *= 1 + 0.03 * rng.standard_normal(shape, dtype=np.float32)
        out[band] = np.clip(values, 1, 10_000)
    cloud = smooth_field(shape, 1500 / step, rng) > 2.7
    out[:, cloud] = 0
    return out, np.where(cloud, 0, _SCENES).astype(np.uint8)


def units(source: Virtual, config: PrepareConfig, path: UPath) -> dict[str, Any]:
    """The parcels that may lose their forest, as squares with what they were like before.

    Raises:
        InputError: the landscape has no `management`, or too little forest for it.
    """
    management = config.virtual.management
    if management is None:
        raise InputError("parcels: virtual.management says what is done to them, and is missing")
    table, shapes = parcels(build(config.virtual.model_copy(update={"management": None}), config.seed), management)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_geoparquet(path, table.drop(columns=["row", "col"]), shapes, [source.cite()])
    return {"parcels": len(table), "cleared": int(table["cleared"].sum())}


def images(source: VirtualPhotos, config: PrepareConfig) -> ImageList:
    """Photos at random places; a plant is drawn in proportion to its species' true probability there."""
    world = build(config.virtual, config.seed)
    rng = np.random.default_rng([config.seed, 40, len(source.scale)])
    row, col = world.draw_places(source.photos, rng, np.ones(world.grid.shape, np.float32))
    lon, lat = world.lonlat(row, col)
    cell = row // world.side, col // world.side
    scenes = Scenes(
        scale=source.scale,
        size=source.size,
        seed=config.seed,
        shares=_shares_around(world, row, col),
        height=np.maximum(world.relief[row, col], 0).astype(np.float32) / np.float32(100),
        moisture=world.climate[1][cell],
        cold=_cold(world)[cell],
        subject=np.stack([_grown(world.probability[:, *cell], rng), world.cover[row, col]], axis=1).astype(np.int64),
    )
    rows = pd.DataFrame(
        {
            "key": [f"virtual-{source.scale}-{number:06d}" for number in range(source.photos)],
            "ext": "jpg",
            "scale": source.scale,
            "lon": lon,
            "lat": lat,
            "place_id": place_id(lon, lat),
            "date": "",
            "file": [str(number) for number in range(source.photos)],
        }
    )
    return ImageList(rows, scenes, Report(f"virtual {source.scale} photos", source.photos))


_COUNTRIES = ("Northland", "Southland")


def _country(world: World) -> NDArray[np.int16]:
    """A winding border from west to east."""
    row, col = np.indices(world.grid.shape)
    border = world.grid.height * (0.5 + 0.08 * np.sin(2 * np.pi * col / world.grid.width * 1.5))
    return np.where(world.land, np.where(row < border, 1, 2), 0).astype(np.int16)


def _cold(world: World) -> NDArray[np.float32]:
    """0 in the warmest cells of the land to 1 in the coldest, (height, width)."""
    temperature = world.climate[0][: world.grid.height, : world.grid.width]
    low, high = np.quantile(temperature[world.land], (0.02, 0.98))
    return np.asarray(np.clip((high - temperature) / (high - low), 0, 1), np.float32)


def _shares_around(world: World, row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.float32]:
    """Share of each class within half a cell of pixels, (N, 5)."""
    near = [ndimage.uniform_filter((world.cover == each).astype(np.float32), world.side) for each in range(5)]
    return np.stack([each[row, col] for each in near], axis=1)


def _grown(probability: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """One species for each place, in proportion to the probabilities (S, N)."""
    total = np.cumsum(probability, axis=0)
    return np.asarray((total < rng.random(total.shape[1]) * total[-1]).sum(axis=0))

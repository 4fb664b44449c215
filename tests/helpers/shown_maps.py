"""Small maps as the jobs leave them, made without Ray, for the page that shows them."""

from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath
from zarr.codecs import BloscCodec

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import tiles
from sdm_ray.mapping.quality_layers import LAYERS, SIMILARITY, SPREAD
from sdm_ray.stores import artefact, layer_pyramid, maps, pyramid, raster
from sdm_ray.stores.encoding import encode
from sdm_ray.stores.land import write_land
from sdm_ray.stores.maps import Map, MapSpec
from sdm_ray.stores.raster import ArraySpec

GRID = Grid(4_000_000.0, 3_000_000.0, 1000.0, 150, 120)
NAMES = ["Abies alba", "Fagus sylvatica", "Pinus cembra", "Quercus robur"]
FAR_M = 30_000


def probabilities(species: int, grid: Grid = GRID) -> np.ndarray:
    """A different slope for each species, none in the western ten columns, (species, height, width)."""
    rows, cols = np.mgrid[: grid.height, : grid.width].astype(np.float32)
    turn = np.arange(species, dtype=np.float32)[:, None, None]
    values = 0.5 + 0.5 * np.sin(rows / 17 + turn) * np.cos(cols / 23 + 2 * turn)
    values[:, :, :10] = np.nan
    return values.astype(np.float32)


def write_map(
    path: Path, names: list[str] = NAMES, *, levels: int = 1, bits: int = 16, grid: Grid = GRID,
    wanted: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """A sealed map of all or of wanted cells, with quality layers and a pyramid; returns its probabilities."""
    values, place = probabilities(len(names), grid), UPath(path)
    if wanted is not None:
        values[:, ~wanted] = np.nan
    known = ~np.isnan(values[0])
    cols = np.broadcast_to(np.arange(grid.width), grid.shape)
    layers = {
        "richness": values.sum(axis=0),
        "richness_variance": (values * (1 - values)).sum(axis=0),
        "inputs": np.where(known, np.where(cols < 80, 3, 1), 0).astype(np.uint8),
        "surveyed_country": np.where(known, (cols < 100).astype(np.uint8), 255).astype(np.uint8),
        "survey_distance": np.where(known, cols * FAR_M / grid.width, np.nan).astype(np.float32),
        "environmental_similarity": np.where(known, 50 - cols, np.nan).astype(np.float32),
        "probability_spread": np.where(known, cols / grid.width, np.nan).astype(np.float32),
        "richness_spread": np.where(known, cols / 10, np.nan).astype(np.float32),
    }
    species = pd.DataFrame({"species_id": range(len(names)), "name": names})
    attrs = {"title": "Trees of nowhere", "sources": ["made up, CC0"]}
    maps.create_map(place, grid, MapSpec(species, "occurrence", 64, LAYERS | SIMILARITY | SPREAD, bits, attrs))
    target = Map(place, writable=True)
    for tile in tiles(grid, 64):
        part = tile.window.slices
        target.write(tile.window, values[:, *part], {name: each[part] for name, each in layers.items()})
    pyramid.create_levels(place, levels)
    for level in range(1, levels + 1):
        for tile in tiles(pyramid.level_grid(grid, level), 64):
            pyramid.fill_level(place, level, tile.window)
    seal(place, "map", {"land": "land.zarr"})
    return values


def write_axis_map(path: Path, axis: str, labels: list[str]) -> np.ndarray:
    """A map with one more axis, such as time: `probability(axis, species, y, x)`; returns its values."""
    values = np.stack([np.roll(probabilities(len(NAMES)), 11 * number, axis=1) for number in range(len(labels))])
    place = UPath(path)
    root = raster.open_root(place)
    root.attrs.put({"title": "Trees in time", "sdm_ray": {"probability_kind": "occurrence", "tile": 64, "bits": 16}})
    group = raster.create(place / "0", GRID, {axis: labels, "species": NAMES}, {})
    attrs = {"long_name": "probability (occurrence)", "scale_factor": 1 / 65534, "valid_max": 65534}
    chunks = (1, 4, 64, 64)
    spec = ArraySpec("uint16", chunks, leading=(axis, "species"), fill=65535, attrs=attrs)
    raster.add_array(group, "probability", spec)[...] = encode(values, 16)
    seal(place, "map", {})
    return values


def write_indicators(path: Path, source: Path, richness: np.ndarray, grid: Grid = GRID) -> None:
    """Indicators that were derived from a map, with its levels and a layer for each of two thresholds."""
    place = UPath(path)
    root = raster.open_root(place)
    root.attrs.put({"title": "Indicators"})
    group = raster.create(place / "0", grid, {"threshold": [0.3, 0.5]}, {})
    text = {"long_name": "expected number of species"}
    raster.add_array(group, "shannon", ArraySpec("float32", (64, 64), fill=float("nan"), attrs=text))[...] = richness
    spec = ArraySpec("uint16", (1, 64, 64), leading=("threshold",), fill=65535, attrs={"long_name": "species above it"})
    blosc = BloscCodec(typesize=4, cname="lz4", clevel=5, shuffle="shuffle")  # as some layers have it
    packed = group.create_array(
        "evenness",
        shape=grid.shape,
        dtype="float32",
        chunks=(64, 64),
        fill_value=float("nan"),
        compressors=[blosc],
        dimension_names=["y", "x"],
    )
    packed[...] = richness / 4
    counts = np.nan_to_num(np.stack([richness, richness / 2]), nan=65535).astype(np.uint16)
    raster.add_array(group, "likely_species", spec)[...] = counts
    levels = pyramid.level_count(UPath(source))
    layer_pyramid.create_layer_levels(place, levels)
    for level in range(1, levels + 1):
        for tile in tiles(pyramid.level_grid(grid, level), 64):
            layer_pyramid.fill_layer_level(place, level, tile.window)
    seal(place, "indicators", {}, {"map.zarr": artefact.read_record(UPath(source)).fingerprint})


def write_countries(path: Path) -> None:
    """A land store of two countries, a third of it sea."""
    land = np.ones(GRID.shape, bool)
    land[:, :10] = False
    country = np.where(np.arange(GRID.height)[:, None] < 60, 1, 2) * land
    write_land(UPath(path), GRID, land, country.astype(np.int16), ["Northland", "Southland"])
    artefact.seal(UPath(path), artefact.Record(kind="land", fingerprint="land"))


def seal(place: UPath, kind: str, config: dict[str, object], inputs: dict[str, str] | None = None) -> None:
    """Consolidate and seal a store, with a fingerprint of its place."""
    raster.consolidate(place)
    record = artefact.Record(
        kind=kind, fingerprint=artefact.fingerprint(str(place)), config=config, inputs=inputs or {}
    )
    artefact.seal(place, record)

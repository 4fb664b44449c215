"""The job `indicators`: richness and its uncertainty, by cell, by country and by species, and ranges, from a map.

Expected richness of a cell is the sum of its probabilities. Given the probabilities, the number of species there is
Poisson-binomial, if species are independent: its variance is the sum of p (1 - p). Both were written with the map
from probabilities that were not yet rounded for storage, and are taken from there. This standard deviation does not
include that the probabilities themselves may be wrong.

A map of relative suitabilities has neither layer; where indicators of it are forced, they are sums of what is stored.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Tile, Window, tiles
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.ranges import Cuts, range_table, read_cuts
from sdm_ray.job import Job
from sdm_ray.mapping.region_mask import check_covers, offset
from sdm_ray.mapping.thumbnails import overview, picture
from sdm_ray.metrics.probability_kind import has_levels, require_levels
from sdm_ray.progress import say, track
from sdm_ray.ray_runtime import connect
from sdm_ray.ray_tasks import run_tasks
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.land import Land
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map
from sdm_ray.stores.raster import ArraySpec

_NONE = 65535  # where no species were counted


def run(config: IndicatorsConfig, job: Job) -> dict[str, Any]:
    """Write `indicators.zarr`, `countries.csv`, `species.csv`, with an evaluation `ranges.csv`, and pictures.

    Raises:
        InputError: the map holds relative suitabilities, whose sum is no number of species, and is not forced; or
            the land store does not cover the map, or the evaluation has no thresholds of its species.
    """
    source, land = config.path(config.map), config.path(config.land)
    found = Map(source)
    forced, advice = "relative" in config.force, "; `force: [relative]` sums them all the same"
    require_levels(f"{source}: richness", found.probability_kind, force=forced, advice=advice)
    check_covers(Land(land).grid, found.grid, f"{land}:")
    countries, species = Land(land).countries, found.species["name"].tolist()
    cuts = None if config.evaluation is None else read_cuts(config.path(config.evaluation), species)
    output = str(job.output)
    _create(output, found, config.thresholds)
    connect()
    todo = tiles(found.grid, found.tile)
    shared = Shared(str(source), output, str(land), list(config.thresholds), cuts)
    sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for tile, result, problem in track(run_tasks(_tile, shared, todo, config.compute), len(todo), "indicators"):
        if problem is not None:
            raise InputError(f"{output}: tile {tile.id} failed: {problem}; run the job again")
        sums[tile.id] = result
    raster.consolidate(UPath(output))
    by_country, cells_above = (np.sum([sums[tile][part] for tile in sorted(sums)], axis=0) for part in (0, 1))
    _write_countries(job.output / "countries.csv", countries, by_country, found.grid)
    done = Ledger(source, artefact.read_record(source).fingerprint).done()
    _write_species(job.output / "species.csv", species, done, found.grid)
    if cuts is not None:
        ranges = range_table(species, cuts, cells_above, found.grid)
        (job.output / "ranges.csv").write_text(ranges.to_csv(index=False))
    for place in _pictures(job.output, found):
        job.tracker.picture(place)
    cells, richness = by_country[:, 0].sum(), by_country[:, 1].sum()
    say(f"indicators: {cells:.0f} cells, mean expected richness {richness / max(cells, 1):.2f}")
    return {
        "cells": int(cells),
        "mean_richness": float(richness / max(cells, 1)),
        "mean_richness_sd": float(np.sqrt(by_country[:, 3].sum() / max(cells, 1))),
        "probability_kind": found.probability_kind,
    }


def _create(output: str, found: Map, thresholds: Sequence[float]) -> None:
    root = raster.open_root(UPath(output))
    root.attrs.put({
        "Conventions": "CF-1.11",
        "title": "Indicators",
        **raster.LEVELS,
        "probability_kind": found.probability_kind,
    })  # fmt: skip
    group = raster.create(UPath(output) / "0", found.grid, {"threshold": list(thresholds)}, {"title": "Indicators"})
    chunk, shard = (min(128, found.tile),) * 2, (found.tile,) * 2
    nan = float("nan")
    layers = {
        "richness": "expected number of species: sum of the probabilities",
        "richness_sd": "standard deviation of the number of species given the probabilities (Poisson-binomial)",
    }
    if not has_levels(found.probability_kind):
        layers = dict.fromkeys(layers, "made from sums of relative suitabilities: no number of species")
    for name, text in layers.items():
        raster.add_array(group, name, ArraySpec("float32", chunk, shard, fill=nan, attrs={"long_name": text}))
    likely = ArraySpec(
        "uint16",
        (1, *chunk),
        (len(thresholds), *shard),
        leading=("threshold",),
        fill=_NONE,
        attrs={"long_name": "number of species whose probability reaches the threshold"},
    )
    raster.add_array(group, "likely_species", likely)


@dataclass(frozen=True)
class Shared:
    """What every tile needs.

    Attributes:
        map: the map.
        output: where the indicators go.
        land: the land store.
        thresholds: of `likely_species`.
        cuts: of the species' ranges.
    """

    map: str
    output: str
    land: str
    thresholds: list[float]
    cuts: Cuts | None


def _tile(shared: Shared, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Write one tile; returns its `sums_by_country`, and the cells (C, S) that reach the cuts."""
    found, window = Map(UPath(shared.map)), tile.window
    richness, variance = _richness(found, window)
    known = ~np.isnan(richness)
    land = Land(UPath(shared.land))
    above = np.zeros((0 if shared.cuts is None else len(shared.cuts.names), len(found.species)), np.int64)
    if not known.any():
        return np.zeros((len(land.countries), 4)), above
    likely = np.zeros((len(shared.thresholds), window.height, window.width), np.uint16)
    for block in found.species_blocks():
        probability = found.read(window, block)
        for number, threshold in enumerate(shared.thresholds):
            likely[number] += (probability >= np.float32(threshold)).sum(axis=0, dtype=np.uint16)
        if shared.cuts is not None:
            above[:, block] = shared.cuts.count(probability, block)
    likely[:, ~known] = _NONE
    group = raster.open_group(UPath(shared.output) / "0", "r+")
    group["richness"][window.slices] = richness
    group["richness_sd"][window.slices] = np.sqrt(variance)
    group["likely_species"][(slice(None), *window.slices)] = likely
    there = window.shifted(*offset(land.grid, found.grid))
    sums = sums_by_country(land.country(there)[known], richness[known], variance[known], len(land.countries))
    return sums, above


def _richness(found: Map, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Expected richness and its variance, (height, width) each, NaN where the map has no value."""
    if "richness" in found.layers():
        return found.layer("richness", window), found.layer("richness_variance", window)
    richness, variance = np.zeros((2, window.height, window.width), np.float32)
    for block in found.species_blocks():
        probability = found.read(window, block)
        richness += probability.sum(axis=0)
        variance += (probability * (1 - probability)).sum(axis=0)
    return richness, variance


def sums_by_country(country: np.ndarray, richness: np.ndarray, variance: np.ndarray, count: int) -> np.ndarray:
    """Sums over the cells of each country.

    Args:
        country: number of each cell's country, (N,).
        richness: (N,).
        variance: of the number of species, (N,).
        count: number of countries, with number 0.

    Returns:
        Cells, sum of richness, sum of its squares, sum of variances, float64 (count, 4).
    """
    wide = richness.astype(np.float64)
    weights = (np.ones_like(wide), wide, wide**2, variance.astype(np.float64))
    return np.column_stack([np.bincount(country, each, minlength=count) for each in weights])


def _write_countries(place: UPath, countries: Sequence[str], sums: np.ndarray, grid: Grid) -> None:
    """Cells of EPSG:3035 have equal areas, so that a plain mean over cells is weighted by area."""
    rows: list[Sequence[object]] = [
        ("country", "cells", "area_km2", "mean_richness", "sd_between_cells", "sd_within_cell")
    ]
    for name, (cells, richness, squares, variance) in zip(countries, sums, strict=True):
        if cells:
            mean = richness / cells
            between = np.sqrt(max(squares / cells - mean**2, 0))
            area = cells * grid.resolution**2 / 1e6
            figures = (f"{mean:.4f}", f"{between:.4f}", f"{np.sqrt(variance / cells):.4f}")
            rows.append((name or "(none)", int(cells), f"{area:.2f}", *figures))
    _write_csv(place, rows)


def _write_species(place: UPath, names: Sequence[str], done: dict[str, dict[str, Any]], grid: Grid) -> None:
    """Expected area of each species: the sum of its unrounded probabilities times the area of a cell."""
    sums = np.sum([done[tile]["species_sums"] for tile in sorted(done)], axis=0)
    cells = sum(each["cells"] for each in done.values())
    rows: list[Sequence[object]] = [("species", "expected_area_km2", "mean_probability")]
    for name, total in zip(names, sums, strict=True):
        rows.append((name, f"{total * grid.resolution**2 / 1e6:.3f}", f"{total / cells:.6f}"))
    _write_csv(place, rows)


def _write_csv(place: UPath, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    place.write_text(text.getvalue())


def _pictures(output: UPath, found: Map) -> list[UPath]:
    group = raster.open_group(output / "0")
    drawn: list[UPath] = []
    if not has_levels(found.probability_kind):
        return drawn
    for name, title in (("richness", "Expected richness"), ("richness_sd", "Uncertainty of richness (1 sd)")):
        values = overview(group[name], float("nan"), found.tile)
        drawn.append(picture(output / "pictures" / f"{name}.png", values, found.grid, title, "species"))
    return drawn

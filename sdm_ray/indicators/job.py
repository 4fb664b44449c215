"""The job `indicators`: diversity and its uncertainty, by cell, by zone, by country and by species, from a map.

Expected richness of a cell is the sum of its probabilities. Given the probabilities, the number of species there is
Poisson-binomial, if species are independent: its variance is the sum of p (1 - p). Both were written with the map
from probabilities that were not yet rounded for storage, and are taken from there. All other indicators are made from
what is stored. No standard deviation here includes that the probabilities themselves may be wrong.

Tiles are Ray tasks, each of which reads all species of its cells once and writes whole Zarr shards alone. Dask's
scheduler would give a task to every chunk of species, and its writers would share shards.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
from upath import UPath

from sdm_ray.geo.windows import tiles
from sdm_ray.indicators.cells import Indicator
from sdm_ray.indicators.chosen import indicators_of, published_species
from sdm_ray.indicators.composition import composition
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.countries import write_countries, write_species
from sdm_ray.indicators.joint_intervals import write_intervals
from sdm_ray.indicators.levels import build_levels
from sdm_ray.indicators.ranges import range_table, read_cuts
from sdm_ray.indicators.tile import NOT_COUNTED, TileSums, Work, do_tile, tile_side
from sdm_ray.indicators.zones import ZoneTask
from sdm_ray.job import Job
from sdm_ray.mapping.all_tiles import do_all
from sdm_ray.mapping.region_mask import check_covers
from sdm_ray.mapping.scenario_tables import figures_of
from sdm_ray.mapping.thumbnails import overview, picture
from sdm_ray.metrics.probability_kind import has_levels, require_levels
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.land import Land
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map
from sdm_ray.stores.raster import ArraySpec

_TITLES = {"richness": ("Expected richness", "species"), "richness_sd": ("Uncertainty of richness (1 sd)", "species")}


def run(config: IndicatorsConfig, job: Job) -> dict[str, Any]:
    """Write `indicators.zarr` with its tables and pictures.

    Raises:
        InputError: the map holds relative suitabilities, whose sum is no number of species, and is not forced; or
            the land store does not cover the map, the evaluation has no thresholds of its species, or a table, list or
            file of polygons cannot be used.
    """
    source, land = config.path(config.map), config.path(config.land)
    found = Map(source, scenario=config.scenario)
    forced, advice = "relative" in config.force, "; `force: [relative]` sums them all the same"
    require_levels(f"{source}: richness", found.probability_kind, force=forced, advice=advice)
    check_covers(Land(land).grid, found.grid, f"{land}:")
    matcher = SpeciesMatcher(found.species["name"].tolist(), config.synonyms)
    cuts = None if config.evaluation is None else read_cuts(config.path(config.evaluation), matcher.species)
    zones = ZoneTask.prepare(config, found, matcher, job.output) if config.zones is not None else None
    records = Ledger(source, artefact.read_record(source).fingerprint).done()
    done = {tile: figures_of(record, config.scenario) for tile, record in records.items()}
    summed = np.sum([done[tile]["species_sums"] for tile in sorted(done)], axis=0)
    todo = tiles(found.grid, tile_side(found))
    connect()
    indicators = indicators_of(
        config, matcher, summed * found.grid.resolution**2 / 1e6, lambda: composition(found, todo, config.compute)
    )
    _create(job.output, found, indicators, config.thresholds, job.sources)
    work = Work(
        map=str(source),
        scenario=config.scenario,
        output=str(job.output),
        land=str(land),
        identity=job.fingerprint,
        indicators=indicators,
        floor=config.min_share_probability,
        thresholds=list(config.thresholds),
        cuts=cuts,
        zones=zones.shapes if zones else None,
        parts=zones.parts if zones else None,
        drawn=zones.drawn if zones else None,
    )
    sums: list[TileSums] = do_all(do_tile, [ray.put(work)], todo, config.compute, name="indicators", place=work.output)
    build_levels(job.output, found, tile_side(found), config.compute)
    raster.consolidate(job.output)
    by_country = np.sum([each.countries for each in sums], axis=0)
    write_countries(job.output / "countries.csv", Land(land).countries, by_country, found.grid)
    shown = published_species(config, matcher)
    names = [name for name, each in zip(matcher.species, shown, strict=True) if each]
    write_species(job.output / "species.csv", names, summed[shown], sum(e["cells"] for e in done.values()), found.grid)
    if cuts is not None:
        ranges = range_table(matcher.species, cuts, np.sum([each.above for each in sums], axis=0), found.grid)[shown]
        (job.output / "ranges.csv").write_text(ranges.to_csv(index=False))
    zone_figures = zones.write(sums, job) if zones else {}
    if config.errors is not None:
        write_intervals(job.output, config, found, shown)
    for place in _pictures(job.output, found, indicators):
        job.tracker.picture(place)
    cells, richness = by_country[:, 0].sum(), by_country[:, 1].sum()
    say(f"indicators: {cells:.0f} cells, mean expected richness {richness / max(cells, 1):.2f}")
    holes = sum(each.holes for each in sums)
    if holes:
        say(f"  {source}: {holes} probabilities are missing in cells that have others; they count as 0")
    return {
        "cells": int(cells),
        "mean_richness": float(richness / max(cells, 1)),
        "mean_richness_sd": float(np.sqrt(by_country[:, 3].sum() / max(cells, 1))),
        "missing_probabilities": holes,
        "probability_kind": found.probability_kind,
        **zone_figures,
    }


def _create(
    output: UPath, found: Map, indicators: Sequence[Indicator], thresholds: Sequence[float], sources: Sequence[str]
) -> None:
    about = {
        "Conventions": "CF-1.11",
        "title": "Indicators",
        "probability_kind": found.probability_kind,
        "source": "; ".join(sources),
    } | ({} if found.scenario is None else {"scenario": found.scenario})
    raster.open_root(output).attrs.put({**about, **raster.LEVELS})
    coords: dict[str, Sequence[Any]] = {"threshold": list(thresholds), "species": found.species["name"].tolist()}
    group = raster.create(output / "0", found.grid, coords, about)
    side = tile_side(found)
    chunk, shard = (min(128, found.tile),) * 2, (side, side)
    relative = {} if has_levels(found.probability_kind) else {
        "long_name": "made from sums of relative suitabilities: no number of species"
    }  # fmt: skip
    for each in indicators:
        for name, layer in each.layers.items():
            spec = ArraySpec(layer.dtype, chunk, shard, fill=layer.fill, attrs={**layer.attrs, **relative})
            raster.add_array(group, name, spec)
    likely = ArraySpec(
        "uint16",
        (1, *chunk),
        (len(thresholds), *shard),
        leading=("threshold",),
        fill=NOT_COUNTED,
        attrs={"long_name": "number of species whose probability reaches the threshold"},
    )
    raster.add_array(group, "likely_species", likely)


def _pictures(output: UPath, found: Map, indicators: Sequence[Indicator]) -> list[UPath]:
    group = raster.open_group(output / "0")
    drawn: list[UPath] = []
    if not has_levels(found.probability_kind):
        return drawn
    for each in indicators:
        for name, layer in each.layers.items():
            if layer.dtype != "float32" or (name.endswith("_sd") and name not in _TITLES):
                continue
            title, unit = _TITLES.get(name, (_heading(name), str(layer.attrs["units"])))
            values = overview(group[name], float("nan"), tile_side(found))
            drawn.append(picture(output / "pictures" / f"{name}.png", values, found.grid, title, unit))
    return drawn


def _heading(name: str) -> str:
    return "Species of the list " + name[9:] if name.startswith("richness_") else name.replace("_", " ").capitalize()

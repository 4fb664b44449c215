"""The job `change`: what differs between maps, by cell, country and species, and what of it the model can tell."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sdm_ray.geo.windows import tiles
from sdm_ray.impact.change import layer_differences
from sdm_ray.impact.change.checks import open_maps
from sdm_ray.impact.change.compare import Sums
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.impact.change.page import write_page
from sdm_ray.impact.change.tables import About, country_table, polygon_table, species_table
from sdm_ray.impact.change.tile import Shared, create, do_tile
from sdm_ray.indicators.error_model import read_error_model
from sdm_ray.indicators.zone_file import NamedZones, counted_warnings, told_warnings
from sdm_ray.job import Job
from sdm_ray.mapping.all_tiles import do_all
from sdm_ray.mapping.region_mask import check_covers
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.stores import raster
from sdm_ray.stores.geoparquet import write_geoparquet
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map


def run(config: ChangeConfig, job: Job) -> dict[str, Any]:
    """Write `change.zarr`, `zones.csv`, `species.csv`, pictures and `change.html`; with polygons `zones.parquet`.

    `zones.csv` has a row for each country; with polygons one for each of these, and countries are in `countries.csv`.

    Raises:
        InputError: the maps have other grids, species or kinds than the first, or hold relative suitabilities; the
            land store does not cover them; the error model does not know their species.
    """
    maps = open_maps(config)
    first, land = next(iter(maps.values())), Land(config.path(config.land))
    check_covers(land.grid, first.grid, f"{land.path}:")
    before, *labels = maps
    differences = layer_differences.plan(config, list(maps), first.grid)
    polygons = None if config.zones is None else NamedZones.read(config.zones, first.grid)
    shared = _shared(config, job, maps, polygons)
    create(job.output, first, labels, with_errors=config.errors is not None)
    layer_differences.create(job.output, differences, first.tile)
    sums = _sums(config, shared, first)
    layer_differences.write(job.output, differences, first.tile)
    raster.consolidate(job.output)
    km2 = first.grid.resolution**2 / 1e6
    about = [About(before, label, config.level, km2) for label in labels]
    names = first.species["name"].tolist()
    count = len(land.countries)
    countries = [each.some(0, count) for each in sums]
    zones = pd.concat([country_table(land.countries, *each) for each in zip(countries, about, strict=True)])
    species = pd.concat([species_table(names, *each) for each in zip(sums, about, strict=True)])
    tables = {"zones.csv": zones, "species.csv": species}
    if polygons is not None:
        own = [each.some(count, count + len(polygons.ids)) for each in sums]
        tables = {"zones.csv": _polygons(polygons, own, about, job), "countries.csv": zones, "species.csv": species}
    for name, table in tables.items():
        (job.output / name).write_text(table.to_csv(index=False, float_format="%.6g"))
    for picture in write_page(job.output, config, (before, *labels), job.sources, (zones, species)):
        job.tracker.picture(picture)
    return _figures(labels, countries, len(tables["zones.csv"]), config)


def _polygons(polygons: NamedZones, sums: list[Sums], about: list[About], job: Job) -> pd.DataFrame:
    """Write `zones.parquet`; the table of all comparisons, polygon by polygon."""
    table = pd.concat([polygon_table(polygons, *each) for each in zip(sums, about, strict=True)], ignore_index=True)
    shapes = np.concatenate([polygons.zones.shapes] * len(sums))
    write_geoparquet(job.output / "zones.parquet", table, shapes, job.sources)
    told = told_warnings(counted_warnings(table[table["after"] == about[0].after]))
    say(f"change: {len(polygons.ids)} zones{told}")
    return table


def _shared(config: ChangeConfig, job: Job, maps: Mapping[str, Map], polygons: NamedZones | None) -> Shared:
    first = next(iter(maps.values()))
    errors = None if config.errors is None else config.path(config.errors)
    if errors is not None:
        read_error_model(errors)[0].select(first.species["name"].tolist(), str(errors))
    return Shared(
        maps=tuple((str(each.path), each.scenario) for each in maps.values()),
        output=str(job.output),
        land=str(config.path(config.land)),
        errors=None if errors is None else str(errors),
        independent=config.errors_of_maps == "independent",
        draws=config.draws,
        seed=config.seed,
        level=config.level,
        zones=None if polygons is None else polygons.shapes,
    )


def _sums(config: ChangeConfig, shared: Shared, first: Map) -> list[Sums]:
    """Do every tile over the cluster; returns the sums of each comparison.

    They are added in the order of the tiles, so that they do not depend on which task ended first.
    """
    connect()
    todo = tiles(first.grid, first.tile)
    ordered = do_all(do_tile, shared, todo, config.compute, name="change", place=shared.output)
    return [Sums.total(list(each)) for each in zip(*ordered, strict=True)]


def _figures(labels: list[str], sums: list[Sums], rows: int, config: ChangeConfig) -> dict[str, Any]:
    figures: dict[str, Any] = {"errors_of_maps": config.errors_of_maps if config.errors else "not given"}
    for label, each in zip(labels, sums, strict=True):
        cells = max(1, int(each.places.sum()))
        change, gains, losses, bray_curtis, _ = each.zones[2:].sum(axis=1) / cells
        text = f"{label}: {cells} cells, mean richness {change:+.3f} (gains {gains:.3f}, losses {losses:.3f})"
        if each.zone_draws.shape[2]:
            tail = (1 - config.level) / 2
            low, high = np.quantile(each.zone_draws[0].sum(axis=0) / cells, [tail, 1 - tail])
            text += f", {config.level:.0%} interval {low:+.3f} to {high:+.3f}"
            figures |= {f"richness change {label} low": float(low), f"richness change {label} high": float(high)}
        say(f"change: {text}, Bray-Curtis {bray_curtis:.3f}")
        figures |= {f"richness change {label}": float(change), f"Bray-Curtis {label}": float(bray_curtis)}
    return figures | {"zones": rows}

"""The job `map`: species probabilities of every wanted cell, tile by tile, each tile once."""

import tempfile
import time
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.documentation import job as documentation
from sdm_ray.documentation.facts import gather
from sdm_ray.errors import InputError
from sdm_ray.job import Job
from sdm_ray.mapping import plan, setup
from sdm_ray.mapping.all_tiles import do_all
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.dry_run import measure
from sdm_ray.mapping.scenario_tables import figures_of, scenario_table
from sdm_ray.mapping.thumbnails import SIDE, overview, picture
from sdm_ray.mapping.tile import Mapper
from sdm_ray.mapping.tile_workers import do_tiles
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.stores import artefact, icechunk_repository, maps, pyramid, raster
from sdm_ray.stores.ledger import Ledger


def run(config: MapConfig, job: Job) -> dict[str, Any]:
    """Map every wanted cell; tiles that an interrupted attempt finished are not done again.

    Raises:
        InputError: the inputs do not fit each other, or tiles failed twice (all others are finished and kept).
    """
    ready = setup.prepare(config, job.output, job.fingerprint)
    area = ready.work.area
    ledger = Ledger(job.output, job.fingerprint)
    done = ledger.finished() if job.resumed else set()
    work = plan.make(area.grid, config.tile, area.wanted, done)
    for line in work.lines(len(ready.spec.species), ready.spec.bits):
        say(f"map: {line}")
    if not work.tiles:
        raise InputError(f"extent: no cell is wanted (cells: {config.cells}) in {list(area.grid.bounds)}")
    setup.start_version(config, job)
    if not done:
        with icechunk_repository.changing(job.output, "an empty map"):
            maps.create_map(job.output, area.grid, ready.spec)
    connect()
    start = time.monotonic()
    do_tiles(Mapper, ready.work, work, config.compute)
    seconds = time.monotonic() - start
    levels = _build_levels(config, job.output, work)
    raster.consolidate(job.output)
    for drawn in _pictures(job.output, levels):
        job.tracker.picture(drawn)
    found, by_scenario = figures(ledger, work, ready.spec.probability_kind), {}
    if config.scenarios:
        by_scenario = {name: found.pop(name) for name in list(found) if "/" in name}
        _write_scenarios(job, by_scenario)
    rate = sum(tile.cells for tile in work.left) / max(seconds, 1e-9)
    say(f"map: {found['cells']} cells, {len(work.left)} tiles done now at {rate:.0f} cells/s")
    _document(config, job, found)
    return found | icechunk_repository.publish(job.output)


def dry_run(config: MapConfig) -> None:
    """Print the plan and what one tile costs, measured here; write nothing."""
    ready = setup.prepare(config, config.path(config.output), "")
    area = ready.work.area
    work = plan.make(area.grid, config.tile, area.wanted)
    for line in work.lines(len(ready.spec.species), ready.spec.bits):
        say(f"map: {line}")
    if not work.tiles:
        return
    sample = sorted(work.tiles, key=lambda tile: tile.cells)[len(work.tiles) // 2]
    with tempfile.TemporaryDirectory() as place:
        cost = measure(ready, sample, UPath(place) / "sample.zarr")
    each = f"tile {sample.id} of {sample.cells} cells"
    say(f"map: {each}: {cost.seconds:.2f} s, {sample.cells / cost.seconds:.0f} cells/s on one worker")
    say(f"map: {each}: {cost.memory / 2**20:.0f} MiB of memory, {cost.stored / 1e6:.2f} MB stored")
    share = work.cells / sample.cells
    hours = f"{cost.seconds * share / 60:.1f} worker-minutes"
    say(f"map: about {hours} and {cost.stored * share / 1e6:.1f} MB for all tiles, coarser levels not counted")


def _build_levels(config: MapConfig, output: UPath, work: plan.Plan) -> int:
    """Coarser levels, each from the one below it; one task writes whole tiles. Returns how many there are."""
    levels = pyramid.levels_of(work.grid) if config.levels is None else config.levels
    if not levels:
        return 0
    with icechunk_repository.changing(output, f"{levels} empty coarser levels"):
        pyramid.create_levels(output, levels)
    for level in range(1, levels + 1):
        tiles = plan.coarser(work, pyramid.level_grid(work.grid, level), config.tile, level)
        shared = (str(output), level, icechunk_repository.fork(output))
        sessions = do_all(_level, shared, tiles, config.compute, name=f"map: level {level}", place=output)
        icechunk_repository.merge(output, [each for each in sessions if each is not None], f"level {level}")
    return levels


def _level(shared: tuple[str, int, icechunk_repository.Session], tile: plan.PlannedTile) -> icechunk_repository.Session:
    output, level, session = shared
    with icechunk_repository.writing(UPath(output), session):
        pyramid.fill_level(UPath(output), level, tile.window)
    return session


def _document(config: MapConfig, job: Job, figures: dict[str, Any]) -> None:
    """Write the ODMAP table and the model card into the map's folder."""
    record = artefact.Record(
        kind="map",
        fingerprint=job.fingerprint,
        config=config.model_dump(mode="json"),
        inputs=job.inputs,
        sources=setup.sources(config),
        figures=figures,
        tools=artefact.tool_versions("ray", "torch", "zarr"),
    )
    documentation.write(job.output, gather(job.output, record, config.path))


def _pictures(output: UPath, levels: int) -> list[UPath]:
    """Pictures of layers, of the coarsest level that fills them: level 0 of a large map takes minutes to read."""
    found = next((each for each in range(levels, 0, -1) if max(maps.baseline(output, each).grid.shape) >= SIDE), 0)
    drawn = maps.baseline(output, found)
    group = raster.open_group(output / str(found))
    made = []
    for name, unit in (("richness", "species"), ("survey_distance", "m")):
        if name not in group:
            continue
        values = overview(group[name], float("nan"), drawn.tile, drawn.lead_of(name))
        if np.isfinite(values).any():
            title = str(group[name].attrs["long_name"]).partition(",")[0]
            made.append(picture(output / "pictures" / f"{name}.png", values, drawn.grid, title, unit))
    return made


def figures(ledger: Ledger, work: plan.Plan, kind: str) -> dict[str, Any]:
    """Totals over tiles and, of probabilities that have levels, mean richness from unrounded ones.

    Raises:
        InputError: a tile has no record.
    """
    sums, tiles = ledger.totals(tile.id for tile in work.tiles)
    by_species = sums.pop("species_sums")
    totals: dict[str, Any] = {**sums, "tiles": tiles}
    if has_levels(kind):
        totals["mean_richness"] = float(np.sum(by_species) / totals["cells"])
    return totals


def _write_scenarios(job: Job, sums: dict[str, Any]) -> None:
    """Write `scenarios.csv` from the totals of all scenarios, and tell what each changes."""
    base = maps.baseline(job.output)
    table = scenario_table(base, sums)
    (job.output / "scenarios.csv").write_text(table.to_csv(index=False, float_format="%.6g"))
    for label in base.scenarios[1:]:
        total, own = table[table["scenario"] == label].sum(numeric_only=True), figures_of(sums, label)
        text = f"{label}: {total['km2_gained']:.0f} km2 gained and {total['km2_lost']:.0f} lost over all species"
        if "novel" in own:
            text += f", {own['novel'] / max(1, own['cells']):.1%} of cells novel to the model"
        say(f"map: scenario {text}")

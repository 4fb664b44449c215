"""The tile cube from Sentinel-2 scenes: a choice of scenes, and one Ray task for each Zarr shard of each season."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import shapely
from shapely import Geometry, box
from upath import UPath

from sdm_ray.config import TaskConfig
from sdm_ray.geo.grid import Grid, grid_of
from sdm_ray.geo.windows import Tile, tiles
from sdm_ray.job import Job
from sdm_ray.progress import Meter, say
from sdm_ray.ray_runtime import connect
from sdm_ray.ray_tasks import refuse_failed, run_tasks
from sdm_ray.readers.polygons import outline
from sdm_ray.sources.base import Report, write_reports
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.sentinel2 import scene_files
from sdm_ray.sources.sentinel2.compositing import compose
from sdm_ray.sources.sentinel2.config import SceneFiles, Sentinel2, Stac
from sdm_ray.sources.sentinel2.scene_reader import LowValues, Reader, SceneFault
from sdm_ray.sources.sentinel2.scenes import Scene, choose, read_scenes, write_scenes
from sdm_ray.sources.sentinel2.signing import Signer
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.ledger import Ledger

_MANY_LOW = 0.2  # share of values at or below a subtracted offset: more, and the scene may not have carried it
_FEW_LOW = 0.001  # of values that none was subtracted from: less, and the scene may carry it
_NATIVE_M = 10  # side of a pixel that the estimate of bytes assumes


@dataclass(frozen=True)
class _Part:
    """One Zarr shard of one composite, and the scenes that touch it."""

    id: str
    time: int
    tile: Tile
    scenes: list[Scene]


@dataclass
class _Plan:
    """The work of a cube."""

    grid: Grid
    times: list[str]
    parts: list[_Part]
    scenes: int
    report: Report
    fingerprint: str
    left: list[_Part] = field(default_factory=list)


def cube(source: Sentinel2, config: PrepareConfig, job: Job) -> dict[str, Any]:
    """Make the cube; Zarr shards that an interrupted attempt finished are kept, and so is its choice of scenes.

    Raises:
        InputError: no scene is found, scenes lack a band, or more of them than allowed cannot be read.
    """
    area = outline(source.area) if source.area else box(*source.bounds or ())
    plan = _plan(source, job, area)
    ledger = Ledger(job.output, plan.fingerprint)
    done = ledger.done()
    plan.left = [part for part in plan.parts if part.id not in done]
    for line in _lines(source, plan):
        say(f"cube: {line}")
    if not done:
        create_cube(job.output, plan.grid, plan.times, source.bands, source.chunk, source.shard)
    start = time.monotonic()
    if plan.left:
        _make(source, job.output, plan, ledger)
    seconds = time.monotonic() - start
    done = ledger.all(part.id for part in plan.parts)
    _account(done, plan.report)
    write_reports(job.output / "report.json", [plan.report])
    try:
        plan.report.check(source.max_dropped)
    except Exception:
        for shard, figures in done.items():
            if figures["failed"]:
                ledger.forget(shard)  # the next attempt reads it again: the scene may be readable then
        raise
    raster.consolidate(job.output)
    return _figures(plan, done) | {"seconds": round(seconds, 1)} | plan.report.figures()


def _plan(source: Sentinel2, job: Job, area: Geometry) -> _Plan:
    grid = grid_of(tuple(area.bounds), source.resolution_m)
    where = area if source.area else box(*grid.bounds)
    chosen, report = _scenes(source, job, where, grid)
    parts = []
    for number, (name, scenes) in enumerate(chosen.items()):
        for tile in tiles(grid, source.shard):
            ground = _ground(grid, tile)
            touching = [scene for scene in scenes if ground.intersects(box(*scene.bounds))]
            if touching and where.intersects(ground):
                parts.append(_Part(f"{name}-{tile.id}", number, tile, touching))
    mark = artefact.fingerprint(job.fingerprint, *(scene.model_dump() for each in chosen.values() for scene in each))
    used = len({scene.name for scenes in chosen.values() for scene in scenes})
    return _Plan(grid, list(chosen), parts, used, report, mark)


def _scenes(source: Sentinel2, job: Job, area: Geometry, grid: Grid) -> tuple[dict[str, list[Scene]], Report]:
    """The scenes of each composite, searched for once."""
    kept, account = job.output / "scenes.json", job.output / "search.json"
    if job.resumed and kept.exists() and account.exists():
        say(f"prepare: continuing {job.output}")
        return read_scenes(kept), Report.from_json(account)
    found, report = _find(source.scenes, source, grid)
    chosen = choose(source, found, area, report)
    report.check(source.max_dropped)  # before any is read
    write_reports(account, [report])
    write_scenes(kept, chosen)
    return chosen, report


def _find(settings: SceneFiles | Stac, source: Sentinel2, grid: Grid) -> tuple[list[Scene], Report]:
    if isinstance(settings, Stac):
        from sdm_ray.sources.sentinel2 import stac_items  # its libraries take long to import

        return stac_items.find(source, settings, grid.bounds)
    return scene_files.find(source, settings)


def _ground(grid: Grid, tile: Tile) -> Geometry:
    """The outline of a tile, EPSG:3035."""
    window, side = tile.window, grid.resolution
    west, north = grid.x0 + window.col * side, grid.y1 - window.row * side
    return box(west, north - window.height * side, west + window.width * side, north)


def _lines(source: Sentinel2, plan: _Plan) -> Iterator[str]:
    """The plan and what it costs, for a person."""
    reads = sum(len(part.scenes) for part in plan.left)
    shared = (
        shapely.area(shapely.intersection(_ground(plan.grid, part.tile), box(*scene.bounds)))
        for part in plan.left
        for scene in part.scenes
    )
    size = sum(shared) / _NATIVE_M**2 * 2 * len(source.bands)
    yield f"{plan.grid.width} x {plan.grid.height} pixels of {plan.grid.resolution:g} m, {', '.join(plan.times)}"
    yield f"{plan.scenes} scenes; {len(plan.parts)} Zarr shards with scenes, {len(plan.parts) - len(plan.left)} done"
    yield f"to read: {reads} parts of scenes, about {size / 1e6:.0f} MB"


def _make(source: Sentinel2, output: UPath, plan: _Plan, ledger: Ledger) -> None:
    """Make every Zarr shard that is left, one task each.

    Raises:
        InputError: some failed twice; all others are finished and kept.
    """
    connect()
    meter = Meter(len(plan.left), "cube: Zarr shards")
    reads = size = 0
    failed: list[str] = []
    ended = run_tasks(_make_shard, (source, output, plan.grid, ledger), plan.left, TaskConfig())
    for count, (part, figures, problem) in enumerate(ended, 1):
        if problem is not None:
            failed.append(f"{part.id} ({problem})")
            say(f"cube: Zarr shard {part.id} failed twice: {problem}")
        else:
            reads += figures["read"]
            size += figures["bytes"]
            meter.label = f"cube: {reads} parts of scenes, {size / 1e6:.0f} MB read, Zarr shards"
        meter.at(count)
    meter.close()
    refuse_failed(output, "Zarr shards", failed, len(plan.parts))


def _make_shard(shared: tuple[Sentinel2, UPath, Grid, Ledger], part: _Part) -> dict[str, Any]:
    """Make one Zarr shard, without the scenes that cannot be read, and record it."""
    source, output, grid, ledger = shared
    start = time.monotonic()
    scenes, failed = list(part.scenes), {}
    with Reader(source, _signer(source)) as reader:
        while True:
            try:
                values, count = compose(
                    grid, part.tile.window, scenes, reader.observe, source.composite, len(source.bands)
                )
                break
            except SceneFault as fault:  # it is left out of the whole Zarr shard, or a seam would show
                failed[fault.scene] = fault.reason
                scenes = [scene for scene in scenes if scene.name != fault.scene]
    Cube(output, writable=True).write(part.tile.window, part.time, values, count)
    figures = {
        "time": part.time,
        "read": len(scenes),
        "failed": failed,
        "bytes": reader.bytes,
        "seconds": round(time.monotonic() - start, 3),
        "valid": int((count > 0).sum()),
        "observations": int(count.sum()),
        "low_values": {
            "with_offset": {scene: [counts.low, counts.known] for scene, counts in reader.with_offset.items()},
            "without_offset": {scene: [counts.low, counts.known] for scene, counts in reader.without_offset.items()},
        },
    }
    ledger.add(part.id, figures)
    return figures


def _signer(source: Sentinel2) -> Signer:
    settings = source.scenes
    if isinstance(settings, SceneFiles) or settings.sign is None:
        return Signer()
    from sdm_ray.sources.sentinel2 import stac_items

    return Signer(settings.sign, stac_items.client_of(source, settings).get)


def _account(done: dict[str, dict[str, Any]], report: Report) -> None:
    """Put the scenes that failed into the report, each once, and those whose offset is in doubt."""
    failed: dict[str, str] = {}
    counted: dict[str, dict[str, LowValues]] = {"with_offset": {}, "without_offset": {}}
    for shard in sorted(done):
        for scene, reason in done[shard]["failed"].items():
            failed.setdefault(scene, f"{shard}: {reason}")
        for kind, scenes in counted.items():
            for scene, (low, known) in done[shard]["low_values"][kind].items():
                counts = scenes.setdefault(scene, LowValues())
                counts.low += low
                counts.known += known
    report.drop("unreadable", [f"{scene} ({reason})" for scene, reason in sorted(failed.items())])
    many = {scene for scene, counts in counted["with_offset"].items() if counts.low > _MANY_LOW * counts.known}
    few = {scene for scene, counts in counted["without_offset"].items() if counts.low < _FEW_LOW * counts.known}
    report.note("mostly_below_the_offset", sorted(many))
    report.note("never_below_the_offset", sorted(few))


def _figures(plan: _Plan, done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Totals over Zarr shards; the share of valid pixels by season."""
    pixels = plan.grid.width * plan.grid.height
    records = [done[part.id] for part in plan.parts]
    valid = {
        f"valid_share_{name}": sum(each["valid"] for each in records if each["time"] == number) / pixels
        for number, name in enumerate(plan.times)
    }
    return {
        "pixels": pixels,
        "shards": len(records),
        "scenes": plan.scenes,
        "scene_reads": sum(each["read"] for each in records),
        "observations": sum(each["observations"] for each in records),
        "read_mb": round(sum(each["bytes"] for each in records) / 1e6, 3),
        "worker_seconds": round(sum(each["seconds"] for each in records), 3),
        **valid,
    }

"""The tile cube from Sentinel-2 scenes: which scenes there are, and one Ray task for each shard of each season."""

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
from sdm_ray.ray_tasks import refuse_failed, spread
from sdm_ray.readers.polygons import outline
from sdm_ray.sources.base import Report, write_reports
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.sentinel2 import scene_files, stac_items
from sdm_ray.sources.sentinel2.compositing import compose
from sdm_ray.sources.sentinel2.config import SceneFiles, Sentinel2, Stac
from sdm_ray.sources.sentinel2.scene_reader import Reader, SceneFault
from sdm_ray.sources.sentinel2.scenes import Scene, choose, read_scenes, write_scenes
from sdm_ray.sources.sentinel2.stac_client import Signer
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.ledger import Ledger

_DOUBTFUL = 0.2  # share of values at or below the offset: more, and the scene may not have carried it
_NATIVE_M = 10  # side of a pixel that a plan reckons with


@dataclass(frozen=True)
class _Piece:
    """One shard of one composite, and the scenes that touch it."""

    id: str
    time: int
    tile: Tile
    scenes: list[Scene]


@dataclass
class _Plan:
    """The work of a cube."""

    grid: Grid
    times: list[str]
    pieces: list[_Piece]
    scenes: int
    report: Report
    fingerprint: str
    left: list[_Piece] = field(default_factory=list)


def cube(source: Sentinel2, config: PrepareConfig, job: Job) -> dict[str, Any]:
    """Make the cube; shards that an interrupted attempt finished are kept, and so is its list of scenes.

    Raises:
        InputError: no scene is found, scenes lack a band, more of them fail than allowed.
    """
    area = outline(source.area) if source.area else box(*source.bounds or ())
    plan = _plan(source, job, area)
    ledger = Ledger(job.output, plan.fingerprint)
    done = ledger.done()
    plan.left = [piece for piece in plan.pieces if piece.id not in done]
    for line in _lines(source, plan):
        say(f"cube: {line}")
    if not done:
        create_cube(job.output, plan.grid, plan.times, source.bands, source.chunk, source.shard)
    start = time.monotonic()
    if plan.left:
        _make(source, job.output, plan, ledger)
    seconds = time.monotonic() - start
    done = ledger.done()
    _account(done, plan.report)
    write_reports(job.output / "report.json", [plan.report])
    try:
        plan.report.check(source.max_dropped)
    except Exception:
        for shard, figures in done.items():
            if figures["failed"]:
                ledger.forget(shard)  # the next attempt reads it again, as the scene may be mended
        raise
    raster.consolidate(job.output)
    return _figures(plan, done) | {"seconds": round(seconds, 1)} | plan.report.figures()


def _plan(source: Sentinel2, job: Job, area: Geometry) -> _Plan:
    grid = grid_of(tuple(area.bounds), source.resolution_m)
    where = area if source.area else box(*grid.bounds)
    chosen, report = _scenes(source, job, where, grid)
    pieces = []
    for number, (name, scenes) in enumerate(chosen.items()):
        for tile in tiles(grid, source.shard):
            ground = _ground(grid, tile)
            touching = [scene for scene in scenes if ground.intersects(box(*scene.bounds))]
            if touching and where.intersects(ground):
                pieces.append(_Piece(f"{name}-{tile.id}", number, tile, touching))
    mark = artefact.fingerprint(job.fingerprint, *(scene.model_dump() for each in chosen.values() for scene in each))
    used = len({scene.name for scenes in chosen.values() for scene in scenes})
    return _Plan(grid, list(chosen), pieces, used, report, mark)


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
        return stac_items.find(source, settings, grid.bounds)
    return scene_files.find(source, settings)


def _ground(grid: Grid, tile: Tile) -> Geometry:
    """The outline of a shard, EPSG:3035."""
    window, side = tile.window, grid.resolution
    west, north = grid.x0 + window.col * side, grid.y1 - window.row * side
    return box(west, north - window.height * side, west + window.width * side, north)


def _lines(source: Sentinel2, plan: _Plan) -> Iterator[str]:
    """The plan and its cost, for a person."""
    reads = sum(len(piece.scenes) for piece in plan.left)
    shared = (
        shapely.area(shapely.intersection(_ground(plan.grid, piece.tile), box(*scene.bounds)))
        for piece in plan.left
        for scene in piece.scenes
    )
    size = sum(shared) / _NATIVE_M**2 * 2 * len(source.bands)
    yield f"{plan.grid.width} x {plan.grid.height} pixels of {plan.grid.resolution:g} m, {', '.join(plan.times)}"
    yield f"{plan.scenes} scenes; {len(plan.pieces)} shards with scenes, {len(plan.pieces) - len(plan.left)} done"
    yield f"to read: {reads} pieces of scenes, about {size / 1e6:.0f} MB"


def _make(source: Sentinel2, output: UPath, plan: _Plan, ledger: Ledger) -> None:
    """Every shard that is left, one task each.

    Raises:
        InputError: shards failed twice; all others are finished and kept.
    """
    connect()
    meter = Meter(len(plan.left), "cube: shards")
    reads = size = 0
    failed: list[str] = []
    ended = spread(_shard, (source, output, plan.grid, ledger), plan.left, TaskConfig())
    for count, (piece, figures, problem) in enumerate(ended, 1):
        if problem is not None:
            failed.append(f"{piece.id} ({problem})")
            say(f"cube: shard {piece.id} failed twice: {problem}")
        else:
            reads += figures["read"]
            size += figures["bytes"]
            meter.label = f"cube: {reads} pieces of scenes, {size / 1e6:.0f} MB read, shards"
        meter.at(count)
    meter.clear()
    refuse_failed(output, "shards", failed, len(plan.pieces))


def _shard(shared: tuple[Sentinel2, UPath, Grid, Ledger], piece: _Piece) -> dict[str, Any]:
    """Make one shard, without the scenes that cannot be read, and record it."""
    source, output, grid, ledger = shared
    start = time.monotonic()
    scenes, failed = list(piece.scenes), {}
    with Reader(source, _signer(source)) as reader:
        while True:
            try:
                values, count = compose(
                    grid, piece.tile.window, scenes, reader.observe, source.composite, len(source.bands)
                )
                break
            except SceneFault as fault:  # it is left out of the whole shard
                failed[fault.scene] = fault.reason
                scenes = [scene for scene in scenes if scene.name != fault.scene]
    Cube(output, writable=True).write(piece.tile.window, piece.time, values, count)
    figures = {
        "time": piece.time,
        "read": len(scenes),
        "failed": failed,
        "bytes": reader.bytes,
        "seconds": round(time.monotonic() - start, 3),
        "valid": int((count > 0).sum()),
        "observations": int(count.sum()),
        "below_offset": reader.below_offset,
    }
    ledger.add(piece.id, figures)
    return figures


def _signer(source: Sentinel2) -> Signer:
    settings = source.scenes
    if isinstance(settings, SceneFiles):
        return Signer()
    return Signer(stac_items.client_of(source, settings), settings.sign)


def _account(done: dict[str, dict[str, Any]], report: Report) -> None:
    """Put the scenes that failed into the report, each once, and those whose offset is in doubt."""
    failed: dict[str, str] = {}
    below: dict[str, list[int]] = {}
    for shard in sorted(done):
        for scene, reason in done[shard]["failed"].items():
            failed.setdefault(scene, f"{shard}: {reason}")
        for scene, (low, known) in done[shard]["below_offset"].items():
            so_far = below.get(scene, [0, 0])
            below[scene] = [so_far[0] + low, so_far[1] + known]
    report.drop("unreadable", [f"{scene} ({reason})" for scene, reason in sorted(failed.items())])
    report.note("mostly_below_the_offset", [s for s in sorted(below) if below[s][0] > _DOUBTFUL * below[s][1]])


def _figures(plan: _Plan, done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Totals over shards, by season where that says more."""
    pixels = plan.grid.width * plan.grid.height
    records = [done[piece.id] for piece in plan.pieces]
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

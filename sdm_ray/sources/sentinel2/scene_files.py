"""Scenes from folders: GeoTIFF and COG files, and L2A products (SAFE)."""

import re
from collections import defaultdict

from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from upath import UPath

from sdm_ray.config import local_absolute
from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2 import safe
from sdm_ray.sources.sentinel2.baseline import baseline_in_name, parse_baseline
from sdm_ray.sources.sentinel2.config import SceneFiles, Sentinel2
from sdm_ray.sources.sentinel2.retries import RetryPolicy
from sdm_ray.sources.sentinel2.safe import SceneParts
from sdm_ray.sources.sentinel2.scene_reader import gdal_settings, is_transient, open_raster
from sdm_ray.sources.sentinel2.scenes import Raster, Scene, day_of, find_band, needed

_ENDINGS = (".tif", ".tiff", ".jp2")
_RESOLUTION = re.compile(r"_(\d+)m$")


def find(source: Sentinel2, settings: SceneFiles) -> tuple[list[Scene], Report]:
    """All scenes below some folders; one file of each is opened, to learn where it lies.

    Raises:
        InputError: there is no file, its bands have no names, or none has the bands needed.
    """
    folders = [local_absolute(UPath(folder)) for folder in settings.folders]
    report = Report(", ".join(settings.folders), 0)
    found: list[SceneParts] = []
    for folder in folders:
        for product in safe.products(folder, report):
            found += safe.scenes(product, report)
        found += [] if folder.name.endswith(safe.ENDING) else _grouped(folder, settings, report)
    report.rows = len(found) + report.lost
    if not report.rows:
        raise InputError(f"{report.name}: no GeoTIFF, JPEG 2000 or SAFE product below it")
    scenes: list[Scene] = []
    with gdal_settings(source):
        for parts in found:
            scene = _opened(parts, source, settings, report)
            scenes += [scene] if scene else []
    if not scenes:
        report.check(0.0)
    return scenes, report


def _grouped(folder: UPath, settings: SceneFiles, report: Report) -> list[SceneParts]:
    """Files outside SAFE products, one or several to a scene, each band at its finest resolution."""
    pattern = re.compile(settings.pattern)
    scenes: dict[tuple[str, str | None], SceneParts] = {}
    resolutions: dict[tuple[str, str | None], dict[str, float]] = defaultdict(dict)
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        if file.suffix.lower() not in _ENDINGS or any(part.endswith(safe.ENDING) for part in inner.parts):
            continue
        match = pattern.search(file.stem)
        day = _day(match.groupdict()) if match else None
        if match is None or day is None:
            report.drop("no_date_in_the_name", [str(inner)])
            continue
        names = match.groupdict()
        band = names.get("band") or ""  # those of a file of several are known when it is opened
        stem = names.get("scene") or (_RESOLUTION.sub("", file.stem).replace(band, "") if band else file.stem)
        baseline = next((each for each in map(baseline_in_name, (file.stem, str(inner.parent))) if each), None)
        key = str(inner.parent / stem), baseline
        observation, tile = safe.observation_and_tile(stem, day)
        fresh = SceneParts(key[0], day, observation=observation, tile=tile, baseline=baseline)
        scene = scenes.setdefault(key, fresh)
        stated = _RESOLUTION.search(file.stem)
        resolution = float(stated[1]) if stated else float("inf")
        before = resolutions[key].get(band)
        if before is None or resolution < before:
            resolutions[key][band] = resolution
            scene.rasters[band] = Raster(href=str(file))
        elif resolution == before:
            report.note("second_file_of_a_band", [str(inner)])
    return list(scenes.values())


def _day(names: dict[str, str | None]) -> str | None:
    text = names.get("date")
    return day_of(text or f"{names.get('year')}{names.get('month')}{names.get('day') or '01'}")


def _opened(parts: SceneParts, source: Sentinel2, settings: SceneFiles, report: Report) -> Scene | None:
    """A scene with its bounds and bands; None where it goes into the report."""
    href = next(iter(parts.rasters.values())).href if parts.rasters else parts.name
    policy = RetryPolicy(source.retries, source.backoff_s)
    try:
        opened = policy.call(lambda: open_raster(href), is_transient)
    except (RasterioError, OSError, ValueError) as error:
        report.drop("unreadable", [f"{parts.name} ({str(error).splitlines()[0][:160]})"])
        return None
    with opened as raster:
        bounds = transform_bounds(raster.crs, geo_grid.CRS, *raster.bounds, densify_pts=21)
        there = parts.rasters if "" not in parts.rasters else _inside(raster, href, settings)
        tagged = parse_baseline(raster.tags().get("PROCESSING_BASELINE", ""))
    rasters = {}
    for band in needed(source):
        name = find_band(band, {}, there)
        if name is None:
            raise InputError(f"{href}: has no band {band}; found {', '.join(sorted(there))} ({_advice(band)})")
        rasters[band] = there[name]
    return Scene(
        name=parts.name,
        date=parts.date,
        observation=parts.observation or f"{parts.date} {parts.name}",
        tile=parts.tile or parts.name,
        rasters=rasters,
        bounds=bounds,
        cloud=parts.cloud,
        baseline=parts.baseline or tagged or settings.baseline,
        offset=parts.offset,
    )


def _advice(band: str) -> str:
    return "mask: null where scenes have no classification" if band == "scl" else "name the file's under scenes.bands"


def _inside(raster: DatasetReader, href: str, settings: SceneFiles) -> dict[str, Raster]:
    """The bands of a file that holds several."""
    names = settings.bands or [name or "" for name in raster.descriptions]
    if settings.bands is not None and len(names) != raster.count:
        raise InputError(f"{href}: holds {raster.count} bands, scenes.bands names {len(names)}")
    if any(not name for name in names):
        number = next(i for i, name in enumerate(names, 1) if not name)
        raise InputError(f"{href}: band {number} has no description; give the bands' names under scenes.bands")
    return {name: Raster(href=href, band=number) for number, name in enumerate(names, 1)}

"""Scenes from STAC items."""

import re
from collections.abc import Sequence
from typing import Any

from pyproj import Transformer

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2 import stac_client
from sdm_ray.sources.sentinel2.config import Sentinel2, Stac
from sdm_ray.sources.sentinel2.scenes import Raster, Scene, day_of, find_band, needed, union

_EDGE_POINTS = 21
_BASELINE = ("s2:processing_baseline", "processing:baseline", "sentinel:processing_baseline", "processing:version")
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_TILE = re.compile(r"(?:^|_|-)T?(\d{1,2}[C-X][A-Z]{2})(?:_|$)")


def client_of(source: Sentinel2, settings: Stac) -> stac_client.Client:
    """The client that a configuration asks for."""
    return stac_client.Client(source.retries, source.backoff_s, settings.timeout_s)


def find(source: Sentinel2, settings: Stac, bounds: tuple[float, float, float, float]) -> tuple[list[Scene], Report]:
    """All scenes that a catalogue has, with the bands needed.

    Args:
        source: what is wanted.
        settings: where.
        bounds: west, south, east, north, EPSG:3035 metres.

    Raises:
        InputError: the catalogue does not answer, or no scene has the bands.
    """
    to_degrees = Transformer.from_crs(geo_grid.CRS, "EPSG:4326", always_xy=True)
    query = stac_client.Query(
        collections=settings.collections,
        box=to_degrees.transform_bounds(*bounds, densify_pts=_EDGE_POINTS),
        periods=[(str(first), str(last)) for first, last in source.periods().values()],
        max_cloud=source.max_cloud,
        page=settings.page,
    )
    found = {str(item["id"]): item for item in stac_client.items(client_of(source, settings), settings.url, query)}
    report = Report(settings.url, len(found))
    scenes = []
    lacking: dict[str, str] = {}
    to_grid = Transformer.from_crs("EPSG:4326", geo_grid.CRS, always_xy=True)
    for name in sorted(found):
        item = found[name]
        rasters, missing = _rasters(source, settings, item)
        box, day = _box(item), day_of(str(item.get("properties", {}).get("datetime") or _start(item)))
        if missing:
            lacking[name] = missing
            report.drop("without_band", [f"{name} ({missing})"])
        elif box is None or day is None:
            report.drop("without_place_or_date", [name])
        else:
            scenes.append(_scene(item, day, rasters, to_grid.transform_bounds(*box, densify_pts=_EDGE_POINTS)))
    if found and len(lacking) == len(found):
        name, missing = next(iter(lacking.items()))
        keys = ", ".join(sorted(found[name].get("assets", {}))[:20])
        raise InputError(f"{name}: has no asset for {missing}; name it under scenes.assets; found {keys}")
    return scenes, report


def _rasters(source: Sentinel2, settings: Stac, item: stac_client.Json) -> tuple[dict[str, Raster], str]:
    """Where the bands are, and the first that is nowhere."""
    rasters, missing = {}, ""
    for band in needed(source):
        key = find_band(band, settings.assets, item.get("assets", {}))
        if key is not None:
            rasters[band] = Raster(href=item["assets"][key]["href"])
            continue
        inside = _inside(band, item)
        if inside is None:
            missing = missing or band
        else:
            rasters[band] = inside
    return rasters, missing


def _inside(band: str, item: stac_client.Json) -> Raster | None:
    """A band of an asset that names several (`eo:bands`, or `bands` of STAC 1.1)."""
    for asset in item.get("assets", {}).values():
        bands = asset.get("eo:bands") or asset.get("bands") or []
        for number, each in enumerate(bands, 1):
            if band in (each.get("name"), each.get("common_name"), each.get("eo:common_name")):
                return Raster(href=asset["href"], band=number)
    return None


def _scene(
    item: stac_client.Json, day: str, rasters: dict[str, Raster], bounds: tuple[float, float, float, float]
) -> Scene:
    properties, name = item["properties"], str(item["id"])
    tile = _tile(properties, name)
    platform = str(properties.get("platform") or "").lower()
    applied = _first(properties, _APPLIED)
    baseline = _first(properties, _BASELINE)
    cloud = properties.get("eo:cloud_cover")
    return Scene(
        name=name,
        date=day,
        observation=f"{day} {platform}" if platform else f"{day} {name}",
        tile=tile or name,
        rasters=rasters,
        bounds=bounds,
        cloud=None if cloud is None else float(cloud),
        baseline=None if baseline is None else str(baseline).lstrip("N0").zfill(5) if "." in str(baseline) else None,
        offset=0 if applied is True else None,
    )


def _tile(properties: stac_client.Json, name: str) -> str:
    stated = _first(properties, ("grid:code", "s2:mgrs_tile"))
    if stated:
        return str(stated).removeprefix("MGRS-").removeprefix("T").zfill(5)
    match = _TILE.search(name)
    return match[1].zfill(5) if match else ""


def _first(properties: stac_client.Json, keys: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    return next((properties[key] for key in keys if properties.get(key) is not None), None)


def _start(item: stac_client.Json) -> str:
    return str(item.get("properties", {}).get("start_datetime") or "")


def _box(item: stac_client.Json) -> tuple[float, float, float, float] | None:
    """West, south, east, north, degrees."""
    box = item.get("bbox")
    if box and len(box) in (4, 6):
        half = len(box) // 2
        return float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])
    geometry = item.get("geometry") or {}
    points = list(_points(geometry.get("coordinates", [])))
    return union((x, y, x, y) for x, y in points) if points else None


def _points(coordinates: list[Any]) -> list[tuple[float, float]]:
    if coordinates and isinstance(coordinates[0], int | float):
        return [(float(coordinates[0]), float(coordinates[1]))]
    return [point for inner in coordinates for point in _points(inner)]

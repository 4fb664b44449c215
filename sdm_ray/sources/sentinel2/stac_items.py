"""Scenes from STAC items."""

import re
from collections.abc import Sequence
from datetime import UTC
from functools import cache
from typing import Any

import shapely
from jsonschema.exceptions import ValidationError
from pyproj import Transformer
from pystac import Item, STACObjectType, STACValidationError
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from shapely.errors import GEOSException

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2 import stac_client
from sdm_ray.sources.sentinel2.baseline import baseline_in_name, parse_baseline
from sdm_ray.sources.sentinel2.config import Sentinel2, Stac
from sdm_ray.sources.sentinel2.retries import RetryPolicy
from sdm_ray.sources.sentinel2.scenes import Raster, Scene, needed
from sdm_ray.sources.sentinel2.stac_assets import locate

Bounds = tuple[float, float, float, float]
_EDGE_POINTS = 21
_BASELINE = ("s2:processing_baseline", "processing:baseline", "sentinel:processing_baseline", "processing:version")
_PRODUCT = ("s2:product_uri", "sentinel:product_id", "s2:granule_id")
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_TILE = re.compile(r"(?:^|_|-)T?(\d{1,2}[C-X][A-Z]{2})(?:_|$)")

_UNUSABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, GEOSException)
"""What an item raises whose properties are of other types than STAC specifies, or are no place."""


def client_of(source: Sentinel2, settings: Stac) -> stac_client.Client:
    """The client that a configuration asks for."""
    return stac_client.Client(RetryPolicy(source.retries, source.backoff_s), settings.timeout_s)


def find(source: Sentinel2, settings: Stac, bounds: Bounds) -> tuple[list[Scene], Report]:
    """All scenes of a catalogue that have the bands needed.

    Args:
        source: what is wanted.
        settings: where it is looked for.
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
    listed = stac_client.items(client_of(source, settings), settings.url, query)
    found = {_name(document, number): document for number, document in enumerate(listed, 1)}
    report = Report(settings.url, len(found))
    items = _read(found, report)
    scenes = []
    without: dict[str, str] = {}
    for name, item in items.items():
        try:
            rasters = {band: locate(band, settings.assets, item) for band in needed(source)}
            missing = next((band for band, raster in rasters.items() if raster is None), None)
            bounds_of_item = _bounds(item)
            located = {band: raster for band, raster in rasters.items() if raster is not None}
            scene = None if missing or bounds_of_item is None else _scene(item, settings, located, bounds_of_item)
        except _UNUSABLE as error:
            report.drop("invalid_item", [f"{name} ({_line(error)})"])
            continue
        if missing:
            without[name] = missing
            report.drop("without_band", [f"{name} ({missing})"])
        elif scene is None:
            report.drop("without_place", [name])
        else:
            scenes.append(scene)
    if items and len(without) == len(items):
        name, missing = next(iter(without.items()))
        keys = ", ".join(sorted(items[name].assets)[:20])
        raise InputError(f"{name}: has no asset for {missing}; name it under scenes.assets; found {keys}")
    return scenes, report


def _name(document: stac_client.Json, number: int) -> str:
    """The id of an item, or its number where it has none or is no object."""
    return str(document.get("id", f"item {number}")) if isinstance(document, dict) else f"item {number}"


def _read(found: dict[str, stac_client.Json], report: Report) -> dict[str, Item]:
    """Items by their ids; what is no item is dropped, what departs from the STAC specification is noted.

    pystac brings the schemas of the specification; those of extensions are on the network and are not asked for.
    """
    validator = JsonSchemaSTACValidator()
    items = {}
    for name in sorted(found):
        try:
            item = Item.from_dict(found[name])
        except Exception as error:  # pystac raises what its parsing of a broken document happens to meet
            report.drop("invalid_item", [f"{name} ({_line(error)})"])
            continue
        document = item.to_dict(include_self_link=False, transform_hrefs=False)
        try:
            validator.validate_core(document, STACObjectType.ITEM, document["stac_version"])
        except STACValidationError as error:
            report.note("not_valid_stac", [f"{name} ({_line(error)})"])
        items[name] = item
    return items


def _line(error: Exception) -> str:
    """What is wrong with a document, and where a schema says so."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return f"{cause.json_path}: {cause.message}"[:160]
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def _scene(item: Item, settings: Stac, rasters: dict[str, Raster], bounds: Bounds) -> Scene:
    properties, name = item.properties, item.id
    day = _day(item)
    tile = _tile(properties, name)
    platform = str(properties.get("platform") or "").lower()
    cloud = properties.get("eo:cloud_cover")
    applied = _first(properties, _APPLIED) is True
    if applied:  # Earth Search goes on stating the offset of assets that it was removed from
        rasters = {band: raster.model_copy(update={"offset": None}) for band, raster in rasters.items()}
    return Scene(
        name=name,
        date=day,
        observation=f"{day} {platform}" if platform else f"{day} {name}",
        tile=tile or name,
        rasters=rasters,
        bounds=bounds,
        cloud=None if cloud is None else float(cloud),
        baseline=_baseline(properties, name) or settings.baseline,
        offset=0 if applied else None,
    )


def _baseline(properties: dict[str, Any], name: str) -> str | None:
    """The baseline that an item states, else that of its product's name."""
    stated = (parse_baseline(properties[key]) for key in _BASELINE if properties.get(key) is not None)
    products = (baseline_in_name(str(each)) for each in (_first(properties, _PRODUCT), name) if each)
    return next((each for each in (*stated, *products) if each), None)


def _day(item: Item) -> str:
    """The day of an item, UTC; pystac refuses items that state neither a time nor an interval."""
    moment = item.datetime or item.common_metadata.start_datetime
    assert moment is not None
    return str((moment.astimezone(UTC) if moment.tzinfo else moment).date())


def _tile(properties: dict[str, Any], name: str) -> str:
    stated = _first(properties, ("grid:code", "s2:mgrs_tile"))
    if stated:
        return str(stated).removeprefix("MGRS-").removeprefix("T").zfill(5)
    match = _TILE.search(name)
    return match[1].zfill(5) if match else ""


def _first(properties: dict[str, Any], keys: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    return next((properties[key] for key in keys if properties.get(key) is not None), None)


def _bounds(item: Item) -> Bounds | None:
    """West, south, east, north of an item, EPSG:3035 metres; None where it states no place."""
    box = item.bbox
    if box and len(box) in (4, 6):
        half = len(box) // 2
        degrees = (box[0], box[1], box[half], box[half + 1])
    elif item.geometry:
        degrees = shapely.geometry.shape(item.geometry).bounds
    else:
        return None
    return _to_grid().transform_bounds(*degrees, densify_pts=_EDGE_POINTS)


@cache
def _to_grid() -> Transformer:
    return Transformer.from_crs("EPSG:4326", geo_grid.CRS, always_xy=True)

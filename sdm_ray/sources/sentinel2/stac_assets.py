"""Which asset of a STAC item holds a band, and how its values become reflectance."""

import re
from typing import Any

from pystac import Asset, Item

from sdm_ray.sources.sentinel2.scenes import BAND_IDS, SCL, UNITS, Raster, find_band

_PICTURES = {"visual", "overview", "thumbnail"}
_PICTURE_KEY = re.compile(r"tci|visual|preview|thumbnail", re.IGNORECASE)
_KEY = re.compile(r"(.+?)(?:_(\d+)m)?$")


def locate(band: str, named: dict[str, str], item: Item) -> Raster | None:
    """Where a band is: its own asset, else the finest that lists it.

    Args:
        band: the cube's name of it.
        named: band -> key of its asset, as configured.
        item: has assets.

    Returns:
        The band; None where no asset holds it. Pictures for the eye (true colour, 8 bits) are left out.
    """
    key = find_band(band, named, item.assets)
    if key is not None:
        return _raster(band, item.assets[key], 1)
    if band in named:
        return None
    known = {band, band.upper(), BAND_IDS.get(band, band)}
    found = []
    for key, asset in item.assets.items():
        name, _ = _parts(key)
        listed = [number for number, each in enumerate(_bands(asset), 1) if known & set(_names(each))]
        number = listed[0] if listed else 1 if name in known else 0
        if number and not _is_picture(key, asset, number, band):
            found.append((_resolution(key, asset, number), len(_bands(asset)), key, number))
    if not found:
        return None
    _, _, key, number = min(found)
    return _raster(band, item.assets[key], number)


def _raster(band: str, asset: Asset, number: int) -> Raster:
    """A band with the scale and offset that its asset states.

    A scale of 1 is what tools write that know of none; an offset alone does not say in which unit it is.
    """
    scale, offset = (_stated(asset, number, key) for key in ("scale", "offset"))
    if band == SCL or scale in (None, 1):
        return Raster(href=asset.href, band=number)
    removed = None if offset is None else round(-float(offset) * UNITS, 6)
    return Raster(href=asset.href, band=number, scale=round(float(scale) * UNITS, 6), offset=removed)


def _stated(asset: Asset, number: int, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """A property of the raster extension, of a band or of its whole asset, in STAC 1.0's or 1.1's place."""
    fields = asset.extra_fields
    old, new = fields.get("raster:bands") or [], fields.get("bands") or []
    places = [
        (old[number - 1] if number <= len(old) else {}, key),
        (new[number - 1] if number <= len(new) else {}, f"raster:{key}"),
        (new[number - 1] if number <= len(new) else {}, key),
        (fields, f"raster:{key}"),
        (fields, key),
    ]
    return next((place[name] for place, name in places if place.get(name) is not None), None)


def _resolution(key: str, asset: Asset, number: int) -> float:
    """Side of a pixel, metres; infinite where nothing states it."""
    transform = _stated(asset, number, "transform") or asset.extra_fields.get("proj:transform")
    stated = (
        abs(transform[0]) if transform else None,
        _stated(asset, number, "spatial_resolution"),
        _parts(key)[1],
        _stated(asset, number, "gsd"),
    )
    return next((float(each) for each in stated if each), float("inf"))


def _is_picture(key: str, asset: Asset, number: int, band: str) -> bool:
    eight_bits = band != SCL and _stated(asset, number, "data_type") == "uint8"
    return eight_bits or bool(_PICTURES & set(asset.roles or []) or _PICTURE_KEY.search(key))


def _parts(key: str) -> tuple[str, str | None]:
    """Name and resolution of an asset's key (`B02_10m`)."""
    match = _KEY.match(key)
    return (match[1], match[2]) if match else (key, None)


def _bands(asset: Asset) -> list[dict[str, Any]]:
    """The bands that an asset lists (`eo:bands`, or `bands` of STAC 1.1)."""
    return asset.extra_fields.get("eo:bands") or asset.extra_fields.get("bands") or []


def _names(band: dict[str, Any]) -> list[str]:
    return [band[key] for key in ("name", "common_name", "eo:common_name") if band.get(key)]

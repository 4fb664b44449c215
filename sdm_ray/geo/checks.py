"""Coordinates that cannot be right, by kind of mistake, and places that the grid is not made for."""

import numpy as np
from numpy.typing import NDArray

from sdm_ray.errors import InputError

EUROPE = (-32.3, 26.6, 46.0, 72.2)
"""West, south, east, north, degrees: the extent of the European challenges' tables."""


def check_lonlat(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    extent: tuple[float, float, float, float] = EUROPE,
) -> dict[str, NDArray[np.int64]]:
    """Row numbers of implausible coordinates, each row under its most telling kind.

    Args:
        lon: longitudes, degrees, (N,); infinite where a projected coordinate has none.
        lat: latitudes, degrees, (N,).
        extent: west, south, east, north of the stated region, degrees.

    Returns:
        `missing` (no number), `not_in_crs` (infinite), `metres` (beyond 360), `not_degrees` (beyond 180 of longitude
        or 90 of latitude, and not merely exchanged), `zero` (at 0, 0), `swapped` (inside the region only with
        longitude and latitude exchanged), `sign_flipped` (inside only with the longitude's sign turned), `outside`
        (the region, all the same), `whole_degrees` (inside, both without decimals).
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    inside = within(lon, lat, extent)
    kinds = {
        "missing": np.isnan(lon) | np.isnan(lat),
        "not_in_crs": np.isinf(lon) | np.isinf(lat),
        "metres": (np.abs(lon) > 360) | (np.abs(lat) > 360),
        "zero": (lon == 0) & (lat == 0),
        "swapped": ~inside & within(lat, lon, extent),
        "not_degrees": (np.abs(lon) > 180) | (np.abs(lat) > 90),
        "sign_flipped": ~inside & within(-lon, lat, extent),
        "outside": ~inside,
        "whole_degrees": inside & (lon == np.round(lon)) & (lat == np.round(lat)),
    }
    taken = np.zeros(lon.shape, bool)
    rows = {}
    for kind, found in kinds.items():
        rows[kind] = np.flatnonzero(found & ~taken)
        taken |= found
    return rows


_IMPOSSIBLE = {
    "missing": "expected a longitude and a latitude",
    "metres": "expected WGS84 degrees, not metres",
    "beyond": "expected WGS84 degrees, longitude first",
    "zero": "which stands for no coordinates",
    "swapped": "which lies in Europe only with longitude and latitude exchanged; `force: [far]` takes it as it is",
}
NEAR_KM = 4600.0
"""How far from the middle of EPSG:3035 places may lie; the farthest corner of `EUROPE` lies 4,507 km from there."""
_MIDDLE = (4_321_000.0, 3_210_000.0)  # of the projection: 10 degrees east, 52 north
_EARTH_RADIUS_M = 6_371_000.0


def require_lonlat(lon: NDArray[np.float64], lat: NDArray[np.float64], where: str, *, anywhere: bool = False) -> None:
    """Refuse coordinates that cannot be right.

    Args:
        lon: longitudes, degrees, (N,).
        lat: latitudes, degrees, (N,).
        where: the file or argument that they are from, for the message.
        anywhere: whether places need not lie in Europe, so that none is taken for exchanged coordinates.

    Raises:
        InputError: naming the first such row, counted from 1, and how many there are.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    kinds = check_lonlat(lon, lat) | {"beyond": np.flatnonzero((np.abs(lon) > 180) | (np.abs(lat) > 90))}
    for kind, hint in _IMPOSSIBLE.items():
        rows = kinds[kind]
        if len(rows) and not (kind == "swapped" and anywhere):
            more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
            raise InputError(f"{where}: row {rows[0] + 1} is ({lon[rows[0]]:g}, {lat[rows[0]]:g}), {hint}{more}")


def require_near(x: NDArray[np.float64], y: NDArray[np.float64], where: str) -> None:
    """Refuse places so far from Europe that squares of EPSG:3035 are no squares on the ground.

    An azimuthal equal-area projection stretches across, and shrinks along, the direction to its middle: at an angle c
    from there by 1 / cos(c / 2) and cos(c / 2) (Snyder 1987, Map Projections: A Working Manual, chapter 24).

    Args:
        x: EPSG:3035 metres, (N,).
        y: likewise.
        where: what they are, for the message.

    Raises:
        InputError: naming the farthest, with its distance.
    """
    if not len(x):
        return
    half = np.hypot(np.asarray(x) - _MIDDLE[0], np.asarray(y) - _MIDDLE[1]).max() / (2 * _EARTH_RADIUS_M)
    distance_km = 2 * _EARTH_RADIUS_M * np.arcsin(min(half, 1.0)) / 1000
    if distance_km > NEAR_KM:
        raise InputError(
            f"{where} lies {distance_km:,.0f} km from the middle of EPSG:3035, at 10 E, 52 N, where its cells are"
            f" {1 / max(1 - half**2, 1e-6):.1f} times as long as wide; expected at most {NEAR_KM:,.0f} km, or"
            " `force: [far]`"
        )


def within(
    x: NDArray[np.float64], y: NDArray[np.float64], extent: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    """Which points lie within west, south, east, north or on its edge, (N,); in degrees or metres, NaN lies outside."""
    west, south, east, north = extent
    return (x >= west) & (x <= east) & (y >= south) & (y <= north)

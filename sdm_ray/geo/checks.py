"""Coordinates that cannot be right, by kind of fault."""

import numpy as np
from numpy.typing import NDArray

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
    inside = _inside(lon, lat, extent)
    kinds = {
        "missing": np.isnan(lon) | np.isnan(lat),
        "not_in_crs": np.isinf(lon) | np.isinf(lat),
        "metres": (np.abs(lon) > 360) | (np.abs(lat) > 360),
        "zero": (lon == 0) & (lat == 0),
        "swapped": ~inside & _inside(lat, lon, extent),
        "not_degrees": (np.abs(lon) > 180) | (np.abs(lat) > 90),
        "sign_flipped": ~inside & _inside(-lon, lat, extent),
        "outside": ~inside,
        "whole_degrees": inside & (lon == np.round(lon)) & (lat == np.round(lat)),
    }
    taken = np.zeros(lon.shape, bool)
    rows = {}
    for kind, found in kinds.items():
        rows[kind] = np.flatnonzero(found & ~taken)
        taken |= found
    return rows


def _inside(
    lon: NDArray[np.float64], lat: NDArray[np.float64], extent: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    west, south, east, north = extent
    return (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)

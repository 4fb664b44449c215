"""The grid of LUCAS: its points stand on the even kilometres of EPSG:3035, named `XXXXYYYY` by their kilometres.

A position noted without the sign of its longitude stands mirrored at Greenwich. The grid tells: the surveyor stood
near a point, and a mirrored position is near one only by chance.
"""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from sdm_ray.geo.grid import to_xy

SPACING_M = 2000.0
TOLERANCE_M = 150.0
"""How near the grid a position must be to count as on it.

Set from a published table of 12,864 positions, a third of them mirrored: the number of rows that fit just one way rises
with the tolerance up to 150 m (12,149), is level up to 200 m and falls beyond; the smallest of these errs least. Of
those rows 7,564 fit as written, 4,585 mirrored, 211 both ways and 504 neither. A place taken at random is this near
with a probability of pi 150^2 / 2000^2 = 1.8 %: as many of the rows fit both ways.
"""

Floats = NDArray[np.float64]


class Fit(IntFlag):
    """Which readings of a position lie on the grid."""

    NEITHER = 0
    AS_WRITTEN = 1
    MIRRORED = 2
    BOTH = 3


def nearest_point(lon: Floats, lat: Floats) -> tuple[Floats, Floats, Floats]:
    """The point of the grid nearest to each position.

    Args:
        lon: longitudes, degrees, (N,).
        lat: latitudes, degrees, (N,).

    Returns:
        Easting and northing of the point and its distance, metres, (N,) each; where there is no position the distance
        is infinite and the point at 0, 0.
    """
    x, y = to_xy(lon, lat)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, 0), np.where(known, y, 0)
    point_x, point_y = np.rint(x / SPACING_M) * SPACING_M, np.rint(y / SPACING_M) * SPACING_M
    return point_x, point_y, np.where(known, np.hypot(x - point_x, y - point_y), np.inf)


def distance_to(lon: Floats, lat: Floats, x: Floats, y: Floats) -> Floats:
    """Distance of positions in degrees from points in EPSG:3035 metres, metres, (N,)."""
    east, north = to_xy(lon, lat)
    return np.hypot(east - x, north - y)


def grid_fit(lon: Floats, lat: Floats, tolerance_m: float = TOLERANCE_M) -> NDArray[np.int64]:
    """Whether positions lie on the grid as written, with the longitude's sign turned, both or neither.

    Args:
        lon: longitudes, degrees, (N,).
        lat: latitudes, degrees, (N,).
        tolerance_m: largest distance from a point of the grid.

    Returns:
        A `Fit` for each, (N,).
    """
    as_written = nearest_point(lon, lat)[2] <= tolerance_m
    mirrored = nearest_point(-np.asarray(lon), lat)[2] <= tolerance_m
    return as_written * np.int64(Fit.AS_WRITTEN) + mirrored * np.int64(Fit.MIRRORED)


def point_xy(point_ids: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Easting and northing, metres, of the points of these numbers `XXXXYYYY`."""
    ids = np.asarray(point_ids, np.int64)
    return (ids // 10_000 * 1000).astype(np.float64), (ids % 10_000 * 1000).astype(np.float64)


def point_ids(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Numbers `XXXXYYYY` of the points at these eastings and northings, metres."""
    return np.rint(np.asarray(x) / 1000).astype(np.int64) * 10_000 + np.rint(np.asarray(y) / 1000).astype(np.int64)

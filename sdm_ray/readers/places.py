"""Places to predict, with the columns of their table: checked, and errors name the row, counted from 1."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.geo.checks import require_lonlat, require_near
from sdm_ray.geo.grid import Extent, to_lonlat, to_xy
from sdm_ray.readers.tables import numbers, texts

Floats = NDArray[np.float64]
_FAR_SHARE = 0.1  # of the region's diagonal: nearer than this, a place outside is worth no warning


def places_of(lonlat: ArrayLike | pd.DataFrame, where: str = "lonlat") -> Floats:
    """Longitudes and latitudes, float64 (N, 2).

    Args:
        lonlat: two columns of degrees, one such place, or a table with columns `lon` and `lat`.
        where: what it is, for messages.

    Raises:
        InputError: a column is missing, or a value is no number.
    """
    if isinstance(lonlat, pd.DataFrame):
        require_columns(["lon", "lat"], list(lonlat.columns), where)
        return np.column_stack([numbers(lonlat, name, where) for name in ("lon", "lat")])
    try:
        places = np.asarray(lonlat, np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: holds what is no number ({error})") from None
    if places.ndim == 1 and len(places) == 2:
        places = places[None]
    if places.ndim != 2 or places.shape[1] != 2:
        raise InputError(f"{where}: expected longitude and latitude in two columns, found the shape {places.shape}")
    return places


def check_places(places: Floats, where: str, *, force: bool = False) -> None:
    """Refuse places that cannot be right, and places far from Europe unless forced.

    Raises:
        InputError: naming the first row, or the farthest distance.
    """
    require_lonlat(places[:, 0], places[:, 1], where, anywhere=force)
    if not force:
        require_near(*to_xy(places[:, 0], places[:, 1]), f"{where}: a place")


def outside_region(places: Floats, region: Extent | None) -> str | None:
    """A sentence that warns of places far outside the region that a model was trained in; None where none is.

    Args:
        places: degrees, (N, 2).
        region: west, south, east, north, EPSG:3035 metres; None where it is not known.
    """
    if region is None or not len(places):
        return None
    west, south, east, north = region
    x, y = to_xy(places[:, 0], places[:, 1])
    gap = np.hypot(np.maximum(np.maximum(west - x, x - east), 0), np.maximum(np.maximum(south - y, y - north), 0))
    far = np.flatnonzero(gap > _FAR_SHARE * np.hypot(east - west, north - south))
    if not len(far):
        return None
    lon, lat = to_lonlat(np.array([(west + east) / 2]), np.array([(south + north) / 2]))
    return (
        f"{len(far)} of {len(places)} places lie far outside the region of the model's surveys, which is"
        f" {(east - west) / 1000:,.0f} km by {(north - south) / 1000:,.0f} km around ({lon[0]:.2f}, {lat[0]:.2f});"
        f" row {far[0] + 1} by {gap[far[0]] / 1000:,.0f} km"
    )


def ids_of(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    """Ids as text.

    Raises:
        InputError: a row has none.
    """
    ids = texts(table[column])
    none = (ids.isna() | (ids == "")).to_numpy(bool)
    if none.any():
        raise InputError(f"{where}: row {int(none.argmax()) + 1} has no {column}")
    return ids.astype(str)


def covariate_columns(found: Sequence[str], names: Sequence[str]) -> list[str]:
    """Columns of a table that hold some covariates, or the codes of their classes: `cover` for `cover=5`."""
    wanted = dict.fromkeys([*names, *(name.rpartition("=")[0] for name in names)])
    return [name for name in wanted if name in found]


def covariates_of(
    table: pd.DataFrame, names: Sequence[str], where: str, *, partly: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Covariates of a table's rows: values (N, C), 0 where they are not known, and which of them are (N, C).

    Args:
        table: with a column for each covariate, or for the codes of its class.
        names: of the covariates.
        where: what the table is, for messages.
        partly: whether columns may be missing, whose covariates are then not known.

    Raises:
        InputError: a column is missing or holds what is no number.
    """
    table = with_classes(table, names)
    if partly:
        table = table.reindex(columns=list(names))
    require_columns(names, list(table.columns), where)
    values = np.column_stack([numbers(table, name, where) for name in names]).astype(np.float32)
    known = np.isfinite(values)
    return np.where(known, values, np.float32(0)), known


def with_classes(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A table with the share of each class, `cover=5`, where it has a column of their codes, `cover`."""
    made = {}
    for name in names:
        column, _, code = name.rpartition("=")
        if name not in table and column in table:
            made[name] = _share(table, column, code)
    return table.assign(**made)


def _share(table: pd.DataFrame, column: str, code: str) -> NDArray[np.float64]:
    """1 in the rows of a class, 0 in others, NaN in blank ones; classes of a map are numbers, others text."""
    try:
        number = float(code)
    except ValueError:
        written = texts(table[column])
        return np.where(written.isna(), np.nan, written == code).astype(np.float64)
    codes = numbers(table, column, "covariates")
    return np.where(np.isfinite(codes), codes == number, np.nan)


def require_columns(wanted: Sequence[str], found: Sequence[str], where: str) -> None:
    """Refuse a table, or another thing with names, that lacks one.

    Raises:
        InputError: naming the first that is missing.
    """
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(f"{where}: has no {missing[0]}; found {few(list(map(str, found)), 8)}")

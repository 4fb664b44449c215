"""LUCAS: field photos of a 2-km grid of points over the European Union, from the harmonised table.

`gps_long` carries no sign: it is in `gps_ew`. The point's id is its place on the EPSG:3035 grid in kilometres
(`XXXXYYYY`), which every position is held against.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.sources.base import FolderFiles, ImageList, Report, place_id, usable_places
from sdm_ray.sources.catalogue.images import Lucas
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.reading import numbers, read_table, texts

_VIEWS = {"N": "north", "E": "east", "S": "south", "W": "west", "P": "point", "C": "cover"}
_SIGNS = {"east": 1, "e": 1, "1": 1, "1.0": 1, "west": -1, "w": -1, "2": -1, "2.0": -1}
_TAKEN = ("photo taken", "1", "1.0")
_NONE_ABOVE = 88.8  # degrees; the raw tables write 88.888888 for "none"


def images(source: Lucas, config: PrepareConfig) -> ImageList:
    """The photos of every point in the views asked for; all views of one point share a `place_id`.

    A photo lies where the surveyor's receiver was; where none was noted, at the grid point. Positions that fit the
    point only with the longitude's sign turned are repaired and noted; other positions far from it are dropped.

    Raises:
        InputError: the table cannot be read, lacks a column or holds no photo of these views.
    """
    table = source.table
    photos = [f"photo_{_VIEWS[view]}" for view in source.views]
    rows = read_table(table, ["point_id", "year", "nuts0", "gps_lat", "gps_long", "gps_ew"], ["survey_date", *photos])
    report = Report(UPath(table).name, len(rows))
    ids = texts(rows["point_id"]).fillna("").astype(str)
    wrong = ~ids.str.fullmatch(r"\d{8}")
    report.drop("point_id_not_8_digits", ids[wrong])
    rows, ids = rows[~wrong].reset_index(drop=True), ids[~wrong].reset_index(drop=True)
    x, y = _kilometres(ids.str[:4]), _kilometres(ids.str[4:])
    lon, lat, usable = _positions(rows, ids, x, y, source.max_shift_m, table, report)
    inside = usable_places(pd.DataFrame({"lon": lon, "lat": lat})[usable], ids[usable], source, report)
    usable[usable] = inside
    point_lon, point_lat = to_lonlat(x, y)
    made = pd.DataFrame(
        {
            "id": ids,
            "lon": lon,
            "lat": lat,
            "place_id": place_id(point_lon, point_lat),
            "date": _dates(rows),
            "folder": texts(rows["year"]) + "/" + texts(rows["nuts0"]) + "/" + ids.str[:3] + "/" + ids.str[3:6],
            "year": texts(rows["year"]),
        }
    )
    views = [_view(made, rows, usable, view) for view in source.views]
    every = pd.concat(views).sort_values("key", ignore_index=True)
    if every.empty:
        raise InputError(f"{table}: no usable row says that a photo of the views {source.views} was taken")
    report.facts["photos_listed"] = len(every)
    report.rows = report.lost + len(every)  # from here on photos are counted
    return ImageList(every, FolderFiles(source.folder), report)


def _view(made: pd.DataFrame, rows: pd.DataFrame, usable: NDArray[np.bool_], view: str) -> pd.DataFrame:
    column = f"photo_{_VIEWS[view]}"
    taken = usable.copy()
    if column in rows:
        taken &= texts(rows[column]).str.lower().isin(_TAKEN).to_numpy()
    some = made[taken]
    return pd.DataFrame(
        {
            "key": "lucas-" + some["year"] + "-" + some["id"] + view,
            "ext": "jpg",
            "scale": "landscape",
            "lon": some["lon"],
            "lat": some["lat"],
            "place_id": some["place_id"],
            "date": some["date"],
            "file": some["folder"] + "/" + some["id"] + view + ".jpg",
        }
    )


def _positions(
    rows: pd.DataFrame, ids: pd.Series, x: NDArray[np.float64], y: NDArray[np.float64], most: float, table: str,
    report: Report,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:  # fmt: skip
    """Longitude, latitude and whether they can be used, held against the grid points x, y."""
    sign = texts(rows["gps_ew"]).str.lower().map(_SIGNS).to_numpy(np.float64)
    size = numbers(rows, "gps_long", table).abs().to_numpy()
    lat = numbers(rows, "gps_lat", table).to_numpy(copy=True)
    noted = np.isfinite(size) & np.isfinite(lat) & (size < _NONE_ABOVE) & (lat < _NONE_ABOVE) & (lat > 0)
    size, lat = np.where(noted, size, 0), np.where(noted, lat, 0)
    east, west = (_apart(turn * size, lat, x, y) for turn in (1, -1))
    fits = np.where(east <= west, 1.0, -1.0)
    lon = fits * size
    near = np.minimum(east, west) <= most
    report.note("longitude_sign_repaired", ids[noted & near & (sign != fits) & (size > 0.001)])
    report.note("no_gps_position", ids[~noted])
    report.drop("far_from_its_point", ids[noted & ~near])
    point_lon, point_lat = to_lonlat(x, y)
    return np.where(noted, lon, point_lon), np.where(noted, lat, point_lat), ~noted | near


def _kilometres(digits: pd.Series) -> NDArray[np.float64]:
    return digits.to_numpy().astype(np.float64) * 1000


def _apart(
    lon: NDArray[np.float64], lat: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    east, north = to_xy(lon, lat)
    return np.hypot(east - x, north - y)


def _dates(rows: pd.DataFrame) -> pd.Series:
    """ISO dates from day/month/year with two or four digits of the year, else the year."""
    year = texts(rows["year"])
    if "survey_date" not in rows:
        return year
    parts = rows["survey_date"].astype(str).str.extract(r"^(\d{1,2})/(\d{1,2})/(?:\d{2}|\d{4})$")
    iso = year + "-" + parts[1].str.zfill(2) + "-" + parts[0].str.zfill(2)
    return iso.fillna(year)

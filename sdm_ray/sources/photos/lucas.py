"""LUCAS: field photos of a 2-km grid of points over the European Union.

Two forms of table are read. The harmonised table has a row for each visit of a point: `gps_long` carries no sign, as
it is in `gps_ew`; the point's id is its place on the EPSG:3035 grid in kilometres (`XXXXYYYY`), which every position
is held against. (`th_lat, th_long` are not read: the id says the same, and they are in metres in some rows.) A table
of positions has `id, lat, lon` alone; there the grid itself tells where the sign of the longitude was lost, and which
point a position belongs to. Its ids are row numbers of the harmonised table, so photos are found by the point.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.geo.lucas import Fit, distance_to, grid_fit, nearest_point, point_ids, point_xy
from sdm_ray.readers.tables import column_names, numbers, read_table, texts, whole_texts
from sdm_ray.sources.base import ImageList, Report, place_id, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.photos.config import Lucas
from sdm_ray.sources.photos.lucas_files import VIEWS, LucasFiles, below_photos, listed_photos, photos_in, plain_names

_SIGNS = {"east": 1, "e": 1, "1": 1, "1.0": 1, "west": -1, "w": -1, "2": -1, "2.0": -1}
_TAKEN = ("photo taken", "1", "1.0")
_NONE_ABOVE = 88.8  # degrees; the raw tables write 88.888888 for "none"
_PHOTO = ["point", "year", "view"]  # identifies a photo
_IMAGE = ["key", "ext", "scale", "lon", "lat", "place_id", "date", "file"]


def images(source: Lucas, config: PrepareConfig) -> ImageList:
    """The photos of every point in the views asked for; all views of one point share a `place_id`.

    By the harmonised table a photo lies where the surveyor's receiver was; where none was noted, at the grid point.
    Positions that fit the point only with the longitude's sign turned are repaired or dropped as `mirrored` says;
    other positions far from it are dropped. By a table of positions the photos of a point, of whichever year, lie at
    the point's position that is nearest to the grid.

    Raises:
        InputError: a table cannot be read, lacks a column or holds no photo of these views.
    """
    names = column_names(source.table)
    by_position = "point_id" not in names and {"id", "lat", "lon"} <= set(names)
    found, report = _by_position(source) if by_position else _by_visit(source)
    found = found.assign(
        key="lucas-" + found["year"] + "-" + found["point"] + found["view"], ext="jpg", scale="landscape"
    )
    report.facts["photos_listed"] = len(found)
    report.rows = report.lost + len(found)  # from here on the report counts photos
    return ImageList(found.sort_values("key", ignore_index=True)[_IMAGE], LucasFiles(source.folder), report)


def positions(source: Lucas) -> tuple[pd.DataFrame, Report]:
    """A table of positions `id, lat, lon` whose longitudes may have lost their signs.

    Positions on the grid as written are kept, those on it only mirrored are repaired or dropped. Of the others the
    side of Greenwich cannot be told: they are dropped, as on the grid either way or neither way.

    Args:
        source: names the table, says what becomes of mirrored positions and where all must lie once repaired.

    Returns:
        Columns `id` (text), `lon, lat` (degrees), `point_id` (`XXXXYYYY`) and `place_id` (of the point), and the
        report, with the ids of all rows that were repaired or dropped.

    Raises:
        InputError: the table cannot be read, lacks a column or has no usable row.
    """
    table = source.table
    rows = read_table(table, ["id", "lat", "lon"])
    report = Report(UPath(table).name, len(rows))
    ids = whole_texts(rows["id"]).fillna("").astype(str)
    lon, lat = numbers(rows, "lon", table).to_numpy(), numbers(rows, "lat", table).to_numpy()
    fit = grid_fit(lon, lat)
    turned = fit == Fit.MIRRORED
    lon = np.where(turned, -lon, lon)
    usable = usable_places(pd.DataFrame({"lon": lon, "lat": lat}), ids, source, report)
    report.drop("fits_grid_both_ways", ids[usable & (fit == Fit.BOTH)])
    report.drop("fits_grid_neither_way", ids[usable & (fit == Fit.NEITHER)])
    kept = usable & ((fit == Fit.AS_WRITTEN) | turned)
    if source.mirrored == "drop":
        report.drop("longitude_mirrored", ids[kept & turned])
        kept &= ~turned
    else:
        report.note("longitude_sign_repaired", ids[kept & turned])
    if not kept.any():
        report.check(0.0)
    lon, lat = lon[kept], lat[kept]
    x, y, _ = nearest_point(lon, lat)
    made = {"id": ids[kept].to_numpy(), "lon": lon, "lat": lat, "point_id": point_ids(x, y)}
    return pd.DataFrame(made | {"place_id": place_id(*to_lonlat(x, y))}), report


def _by_position(source: Lucas) -> tuple[pd.DataFrame, Report]:
    """Photos that are listed or there, at the positions of their points."""
    placed, report = positions(source)
    photos = (
        listed_photos(source.photos, source.views, report) if source.photos else photos_in(source.folder, source.views)
    )
    placed["point"] = placed["point_id"].astype(str).str.zfill(8)
    report.drop("no_photo", placed["id"][~placed["point"].isin(photos["point"])])
    lon, lat = placed["lon"].to_numpy(np.float64), placed["lat"].to_numpy(np.float64)
    apart = distance_to(lon, lat, *point_xy(placed["point_id"].to_numpy(np.int64)))
    points = placed.assign(apart=apart).sort_values(["apart", "id"]).drop_duplicates("point")
    found = photos.merge(points, on="point").assign(date=lambda each: each["year"])
    if found.empty:
        raise InputError(
            f"{source.photos or source.folder}: no photo of the views {source.views} of any of the {len(points)} "
            f"points of {source.table}"
        )
    return found, report


def _by_visit(source: Lucas) -> tuple[pd.DataFrame, Report]:
    """Photos that the harmonised table marks as taken and, where there is a list, that are in the list."""
    table = source.table
    columns = ["point_id", "year", "nuts0", "gps_lat", "gps_long", "gps_ew"]
    optional = [f"{kind}_{VIEWS[view].lower()}" for kind in ("photo", "file_path_gisco") for view in source.views]
    rows = read_table(table, columns, ["survey_date", *optional])
    report = Report(UPath(table).name, len(rows))
    ids = whole_texts(rows["point_id"]).fillna("").astype(str)
    wrong = ~ids.str.fullmatch(r"\d{8}")
    unplaced = ~wrong & rows[["year", "nuts0"]].isna().any(axis=1)
    report.drop("point_id_not_8_digits", ids[wrong])
    report.drop("no_year_or_country", ids[unplaced])
    left = ~(wrong | unplaced)
    rows, ids = rows[left].reset_index(drop=True), ids[left].reset_index(drop=True)
    x, y = point_xy(np.asarray(ids.astype(np.int64), np.int64))
    lon, lat, usable = _visited(rows, ids, x, y, source, report)
    usable[usable] = usable_places(pd.DataFrame({"lon": lon, "lat": lat})[usable], ids[usable], source, report)
    visits = pd.DataFrame({"point": ids, "lon": lon, "lat": lat, "place_id": place_id(*to_lonlat(x, y))})
    visits = visits.assign(date=_dates(rows), year=whole_texts(rows["year"]))
    found = pd.concat([_view(visits, rows, usable, view) for view in source.views])
    if found.empty:
        raise InputError(f"{table}: no usable row has a photo of the views {source.views} marked as taken")
    return _listed(found, source, report) if source.photos else found, report


def _view(visits: pd.DataFrame, rows: pd.DataFrame, usable: NDArray[np.bool_], view: str) -> pd.DataFrame:
    """The visits with a photo of this view, and the photo's name."""
    taken, path = f"photo_{VIEWS[view].lower()}", f"file_path_gisco_{VIEWS[view].lower()}"
    some = usable & texts(rows[taken]).str.lower().isin(_TAKEN).to_numpy() if taken in rows else usable
    files = plain_names(visits["year"], texts(rows["nuts0"]), visits["point"], view)
    if path in rows:
        files = below_photos(rows[path].astype("string")).fillna(files)
    return visits.assign(view=view, file=files.astype(str))[some]


def _listed(found: pd.DataFrame, source: Lucas, report: Report) -> pd.DataFrame:
    """The photos that are also in the list of `source.photos`, under the names used there."""
    assert source.photos is not None
    photos = listed_photos(source.photos, source.views, report)
    both = found.drop(columns="file").merge(photos, on=_PHOTO)
    if both.empty:
        raise InputError(f"{source.photos}: lists no photo of the views {source.views} of the points of {source.table}")
    known = pd.MultiIndex.from_frame(photos[_PHOTO]).isin(pd.MultiIndex.from_frame(found[_PHOTO]))
    report.note("photo_of_no_usable_row", photos["file"][~known])
    report.facts["photos_not_listed"] = len(found) - len(both)
    return both


def _visited(
    rows: pd.DataFrame, ids: pd.Series, x: NDArray[np.float64], y: NDArray[np.float64], source: Lucas, report: Report
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Longitude, latitude and whether they can be used, compared with the grid points x, y."""
    sign = texts(rows["gps_ew"]).str.lower().map(_SIGNS).to_numpy(np.float64)
    size = numbers(rows, "gps_long", source.table).abs().to_numpy()
    lat = numbers(rows, "gps_lat", source.table).to_numpy(copy=True)
    noted = np.isfinite(size) & np.isfinite(lat) & (size < _NONE_ABOVE) & (lat < _NONE_ABOVE) & (lat > 0)
    size, lat = np.where(noted, size, 0), np.where(noted, lat, 0)
    east, west = (distance_to(turn * size, lat, x, y) for turn in (1, -1))
    fits = np.where(east <= west, 1.0, -1.0)
    near = np.minimum(east, west) <= source.max_shift_m
    turned = noted & near & (sign != fits) & (size > 0.001)
    usable = ~noted | near
    if source.mirrored == "drop":
        report.drop("longitude_mirrored", ids[turned])
        usable &= ~turned
    else:
        report.note("longitude_sign_repaired", ids[turned])
    report.note("no_gps_position", ids[~noted])
    report.drop("far_from_its_point", ids[noted & ~near])
    point_lon, point_lat = to_lonlat(x, y)
    return np.where(noted, fits * size, point_lon), np.where(noted, lat, point_lat), usable


def _dates(rows: pd.DataFrame) -> pd.Series:
    """ISO dates from day/month/year with two or four digits of the year, else the year."""
    year = whole_texts(rows["year"])
    if "survey_date" not in rows:
        return year
    parts = rows["survey_date"].astype(str).str.extract(r"^(\d{1,2})/(\d{1,2})/(?:\d{2}|\d{4})$")
    iso = year + "-" + parts[1].str.zfill(2) + "-" + parts[0].str.zfill(2)
    return iso.fillna(year)

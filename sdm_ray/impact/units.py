"""The units of a question as people have them: parcels or points with a treatment, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import to_xy
from sdm_ray.impact.config import ImpactConfig, Value
from sdm_ray.impact.parcels import holds_polygons, overlapping, points_in, read_parcels
from sdm_ray.readers.places import check_places, require_columns
from sdm_ray.readers.tables import degrees, numbers, read_table, texts

_TRUE, _FALSE = {"1", "true", "yes"}, {"0", "false", "no"}


@dataclass(frozen=True)
class Units:
    """Parcels or points.

    Attributes:
        table: their columns, one row each, in the order of the file.
        ids: their names, (N,).
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        shapes: polygons in EPSG:3035, (N,); None for points.
        overlaps: whether a parcel overlaps another, (N,).
        notes: what was found that a reader should know, with counts.
    """

    table: pd.DataFrame
    ids: NDArray[np.str_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    shapes: NDArray[Any] | None
    overlaps: NDArray[np.bool_]
    notes: list[str] = field(default_factory=list)

    def only(self, keep: NDArray[np.bool_]) -> "Units":
        """Some of the units."""
        shapes = None if self.shapes is None else self.shapes[keep]
        table = self.table[keep].reset_index(drop=True)
        return Units(table, self.ids[keep], self.x[keep], self.y[keep], shapes, self.overlaps[keep], self.notes)


def columns_of(config: ImpactConfig) -> list[str]:
    """Columns of the units that a configuration names, without those of places."""
    ids = [config.id] if isinstance(config.id, str) else config.id or []
    wide = [column for years in config.outcome.columns.values() for column in years.values()]
    treatment = [each for each in (config.treatment.column, config.treatment.date) if each is not None]
    filters = [*config.where, *(name for each in config.questions.values() for name in each.where)]
    return list(dict.fromkeys([*ids, *treatment, *wide, *config.covariates.columns, *config.matching.exact, *filters]))


def read_units(config: ImpactConfig) -> Units:
    """Read the units; those that `where` leaves out are counted.

    Raises:
        InputError: the file cannot be read, lacks a column, or names a unit twice.
    """
    wanted, path = columns_of(config), config.units_path
    notes: list[str] = []
    shapes: NDArray[Any] | None = None
    if holds_polygons(path):
        parcels = read_parcels(path, config.format.layer)
        require_columns(wanted, list(map(str, parcels.table.columns)), path)
        table, shapes = parcels.table[wanted], parcels.shapes
        if parcels.repaired.any():
            notes.append(f"{int(parcels.repaired.sum())} parcels had invalid outlines, which were repaired")
        x, y = points_in(shapes)
        overlaps = overlapping(shapes)
        if overlaps.any():
            notes.append(f"{int(overlaps.sum())} parcels overlap others; see the column overlaps of units.csv")
    else:
        columns = (config.lon, config.lat)
        table = read_table(path, [*wanted, *(name for name in columns if name not in wanted)], form=config.format)
        lon, lat = degrees(table, columns, path, config.format)
        places = np.column_stack([lon, lat])
        check_places(places, path, force="far" in config.force)
        x, y = to_xy(places[:, 0], places[:, 1])
        overlaps = np.zeros(len(table), bool)
    units = Units(table.reset_index(drop=True), _ids(table, config), x, y, shapes, overlaps, notes)
    keep = holds(units.table, config.where, path)
    if not keep.any():
        raise InputError(f"{path}: where leaves none of {len(keep)} units")
    if not keep.all():
        notes.append(f"{int((~keep).sum())} of {len(keep)} units left out by where")
    found = units.only(keep)
    _require_single(found.ids, path)
    return found


def holds(table: pd.DataFrame, where: Mapping[str, Sequence[Value]], path: str) -> NDArray[np.bool_]:
    """Whether each row has one of the values, in every column of `where`; numbers are compared as numbers, (N,)."""
    keep = np.ones(len(table), bool)
    for column, values in where.items():
        require_columns([column], list(map(str, table.columns)), path)
        keep &= np.isin(_comparable(table[column]), _comparable(pd.Series(list(values), dtype=object)))
    return keep


def read_treatment(units: Units, config: ImpactConfig) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each unit was treated, and the year of its treatment, NaN for controls, (N,) each.

    Raises:
        InputError: a value is not binary, a treated unit has no date, or a date is none.
    """
    settings, path = config.treatment, config.units
    dates = np.full(len(units.ids), np.nan) if settings.date is None else years(units.table[settings.date], path)
    if settings.column is None:
        return np.isfinite(dates), dates
    values = texts(units.table[settings.column]).str.lower().str.replace(r"\.0+$", "", regex=True)
    treated, control = values.isin(_TRUE).to_numpy(), values.isin(_FALSE).to_numpy()
    wrong = np.flatnonzero(~treated & ~control)
    if len(wrong):
        raise InputError(
            f"{path}: column {settings.column} holds {units.table[settings.column].iloc[wrong[0]]!r} for unit"
            f" {units.ids[wrong[0]]}, expected 1 for treated and 0 for control"
        )
    if settings.year is not None:
        return treated, np.where(treated, settings.year, np.nan)
    undated = np.flatnonzero(treated & ~np.isfinite(dates))
    if len(undated):
        raise InputError(
            f"{path}: treated unit {units.ids[undated[0]]} has no {settings.date} ({len(undated)} such units)"
        )
    if surplus := int((control & np.isfinite(dates)).sum()):
        units.notes.append(f"{surplus} controls have a {settings.date}, which is not used")
    return treated, np.where(treated, dates, np.nan)


def years(values: pd.Series, path: str) -> NDArray[np.float64]:
    """Years of a column of years or ISO dates, blanks as NaN, (N,).

    Raises:
        InputError: a value is neither.
    """
    words = texts(values)
    dated = words.str.match(r"\d{4}-\d{1,2}-\d{1,2}").fillna(False).to_numpy(bool)
    found = numbers(pd.DataFrame({values.name: words.where(~dated)}), str(values.name), path).to_numpy(copy=True)
    if dated.any():
        days = pd.to_datetime(words[dated], errors="coerce")
        if days.isna().any():
            raise InputError(
                f"{path}: column {values.name} holds {words[dated][days.isna()].iloc[0]!r}, which is no date"
            )
        found[dated] = days.dt.year + (days.dt.dayofyear - 1) / 365.25
    return np.asarray(found)


def _ids(table: pd.DataFrame, config: ImpactConfig) -> NDArray[np.str_]:
    if config.id is None:
        return np.arange(1, len(table) + 1).astype(str)
    parts = [texts(table[name]) for name in ([config.id] if isinstance(config.id, str) else config.id)]
    for part, name in zip(parts, np.atleast_1d(config.id), strict=True):
        if part.isna().any():
            raise InputError(f"{config.units}: row {int(part.isna().to_numpy().argmax()) + 1} has no {name}")
    return np.array(["/".join(map(str, row)) for row in zip(*parts, strict=True)])


def _require_single(ids: NDArray[np.str_], path: str) -> None:
    names, count = np.unique(ids, return_counts=True)
    if (count > 1).any():
        raise InputError(
            f"{path}: {int((count > 1).sum())} ids stand in several rows, such as {few(names[count > 1].tolist(), 3)};"
            " expected one row for each unit"
        )


def _comparable(values: pd.Series) -> NDArray[np.str_]:
    """Values as text; whole numbers alike however they are written (1, 1.0, "1")."""
    words = texts(values).fillna("").astype(str)
    number = pd.to_numeric(words, errors="coerce")
    return np.array([repr(float(n)) if np.isfinite(n) else w for n, w in zip(number, words, strict=True)], dtype=str)

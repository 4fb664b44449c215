"""Any table of occurrences with named columns: the rows of one survey become one survey with a set of species."""

from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import column_names, degrees, numbers, read_table, texts
from sdm_ray.sources.base import Report, SurveyTables, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.entry import PointSource
from sdm_ray.sources.occurrences.config import Tables
from sdm_ray.sources.occurrences.presence import PresenceRule, present_in, species_columns
from sdm_ray.sources.occurrences.species_sets import species_sets
from sdm_ray.stores.surveys import COVARIATE, ProbabilityKind

_ORDERS = {
    "day_first": r"^(?P<d>\d{1,2})[./ -](?P<m>\d{1,2})[./ -](?P<y>\d{4})\b",
    "month_first": r"^(?P<m>\d{1,2})[./ -](?P<d>\d{1,2})[./ -](?P<y>\d{4})\b",
}
"""Dates by their order; a library's guess takes 24/12 for the 24th of December whatever comes first."""


def surveys(source: Tables, config: PrepareConfig) -> SurveyTables:
    """Surveys of a table.

    Rows of one survey share the survey column, or else place and date (or year). Where they contradict each other in
    place, the first row counts and the survey is noted.

    Raises:
        InputError: the table cannot be read, lacks a column, or no species has enough records.
    """
    rows, report = read_occurrences(source)
    return surveys_of(rows, source, source.probability_kind, source.min_records, report)


def surveys_of(
    rows: pd.DataFrame, source: PointSource, kind: ProbabilityKind, min_records: int, report: Report
) -> SurveyTables:
    """Surveys from rows of occurrences.

    Args:
        rows: `survey_id, lon, lat, year, uncertainty_m, species, gbif_key` and what else a survey has; a row without
            a species is a survey that found none.
        source: states the region of the points and their largest uncertainty.
        kind: what a model of these surveys gives the probability of.
        min_records: surveys that a species must be in.
        report: takes what cannot be used.

    Raises:
        InputError: no place can be used, or no species has enough records.
    """
    nameless = rows["survey_id"].isna()
    report.drop("no_survey_id", (f"row {number + 1}" for number in rows.index[nameless]))
    rows = rows[~nameless].reset_index(drop=True)
    rows = rows[usable_places(rows, rows["survey_id"], source, report)].reset_index(drop=True)
    survey, first = pd.factorize(rows["survey_id"])[0], ~rows["survey_id"].duplicated()
    table = rows[first].drop(columns=["species", "gbif_key"]).reset_index(drop=True)
    moved = (rows["lon"] != table["lon"].to_numpy()[survey]) | (rows["lat"] != table["lat"].to_numpy()[survey])
    report.note("survey_at_two_places", rows.loc[moved, "survey_id"].unique())
    sets = species_sets(survey, rows[["species", "gbif_key"]], len(table), min_records, report)
    return SurveyTables(table.assign(species=pd.Series(sets.lists)), sets.species, kind, report)


def read_occurrences(source: Tables) -> tuple[pd.DataFrame, Report]:
    """Rows as `surveys_of` takes them, and how many rows the table has."""
    path, columns = source.table, source.columns
    own = {"covariates", "classes", *(["species"] if columns.wide else [])}
    named = [*columns.model_dump(exclude_none=True, exclude=own).values(), *columns.covariates, *columns.classes]
    wide = species_columns(column_names(path, source), columns.wide, named, path) if columns.wide else []
    raw = _joined(source, [*named, *wide]) if source.places else read_table(path, [*named, *wide], form=source)
    report = Report(UPath(path).name, len(raw))
    rule = PresenceRule(source.presence_above, source.cover_classes, source.decimal)
    rows = _surveyed(raw, source)
    if wide:
        row, column, usable = present_in(raw[wide], rule, path, report)
        found = pd.Series(np.array(wide, object)[column], row, dtype=object)
        rows = rows[usable].join(found.rename("species"), how="left")
        return rows.assign(gbif_key=pd.array([pd.NA] * len(rows), "Int64")), report
    assert isinstance(columns.species, str)
    rows["species"] = texts(raw[columns.species])
    keys = numbers(raw, columns.gbif_key, path) if columns.gbif_key else pd.Series(np.nan, raw.index)
    rows["gbif_key"] = keys.astype("Int64")
    if columns.presence:
        present = rule.presences(raw[columns.presence], f"{path}: column {columns.presence}")
        report.drop("no_presence", (f"row {number + 1}" for number in np.flatnonzero(np.isnan(present))))
        rows.loc[present == 0, "species"] = None
        rows = rows[~np.isnan(present)]
        report.facts["absences"] = int((present == 0).sum())
    return rows, report


def _joined(source: Tables, wanted: list[str]) -> pd.DataFrame:
    """The table with the columns that it lacks from the table of places; blank where a survey has no place there.

    Raises:
        InputError: a column is in neither table, or a survey has two places.
    """
    assert source.places is not None and source.columns.survey is not None
    key, names = source.columns.survey, set(column_names(source.table, source))
    rows = read_table(source.table, [name for name in wanted if name in names or name == key], form=source)
    places = read_table(source.places, [key, *(name for name in wanted if name not in names)], form=source)
    twice = texts(places[key]).dropna().duplicated()
    if twice.any():
        row = int(twice.index[twice.to_numpy()][0])
        raise InputError(
            f"{source.places}: row {row + 1}: {key} {places[key].iloc[row]} has a row before; expected one"
        )
    rows, places = (each.assign(**{key: texts(each[key])}) for each in (rows, places))
    return rows.merge(places, how="left", on=key)


def _surveyed(raw: pd.DataFrame, source: Tables) -> pd.DataFrame:
    """`survey_id, lon, lat, year, uncertainty_m, [date, country, covariates]` of each row."""
    path, columns = source.table, source.columns
    lon, lat = degrees(raw, (columns.lon, columns.lat), path, source)
    unknown = pd.Series(np.nan, raw.index)
    uncertainty = numbers(raw, columns.uncertainty_m, path, source.decimal) if columns.uncertainty_m else unknown
    year = numbers(raw, columns.year, path) if columns.year else unknown
    out: dict[str, Any] = {"survey_id": "", "lon": lon, "lat": lat, "year": year}
    out["uncertainty_m"] = uncertainty.where(np.isfinite(uncertainty))
    if columns.date:
        date = dates(raw[columns.date], source.date_format, f"{path}: column {columns.date}")
        out["date"] = date.dt.strftime("%Y-%m-%d").astype(object).where(date.notna(), None)
        out["year"] = year.fillna(date.dt.year)
    if columns.country:
        out["country"] = texts(raw[columns.country]).fillna("").astype(str)
    rows = pd.DataFrame(out)
    rows["year"] = rows["year"].round().astype("Int32")
    rows["survey_id"] = (
        texts(raw[columns.survey]) if columns.survey else visits(rows, "date" if columns.date else "year")
    )
    for name in columns.covariates:
        rows[COVARIATE + name] = numbers(raw, name, path, source.decimal).astype(np.float32)
    for name in columns.classes:
        rows[COVARIATE + name] = texts(raw[name])
    return rows


def visits(rows: pd.DataFrame, when: str) -> pd.Series:
    """An id for each place and time, the places rounded to 0.00001 degrees (1 m)."""
    place = rows["lon"].map("{:.5f}".format) + "_" + rows["lat"].map("{:.5f}".format)
    return place + "_" + texts(rows[when]).fillna("").astype(str)


def dates(values: pd.Series, form: str | None, where: str) -> pd.Series:
    """A column of dates, what is blank as missing.

    Args:
        values: of the table.
        form: `day_first`, `month_first`, a pattern such as `%d.%m.%Y`, or None for ISO 8601.
        where: what the column is called in messages.

    Raises:
        InputError: a value is no such date.
    """
    text = texts(values)
    written = text
    if form in _ORDERS:
        parts = text.astype("string").str.extract(_ORDERS[form])
        written, form_read = parts["y"] + "-" + parts["m"] + "-" + parts["d"], "%Y-%m-%d"
    else:
        form_read = form or "ISO8601"
    found = pd.to_datetime(written, errors="coerce", format=form_read, utc=True)
    wrong = (found.isna() & text.notna()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        expected = form or "year-month-day; state another as `date_format`, such as day_first or %d.%m.%Y"
        raise InputError(f"{where}, row {row + 1} holds {text.iloc[row]!r}, expected a date: {expected}")
    return found

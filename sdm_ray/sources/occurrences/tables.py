"""Any table of occurrences with named columns: the rows of one survey become one survey with a set of species."""

from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.readers.tables import numbers, read_table, texts
from sdm_ray.sources.base import Report, SurveyTables, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences.config import TableColumns, Tables
from sdm_ray.sources.occurrences.species_sets import species_sets


def surveys(source: Tables, config: PrepareConfig) -> SurveyTables:
    """Surveys of a table.

    Rows of one survey share the survey column, or else place and year. Where they contradict each other in place,
    the first row counts and the survey is noted.

    Raises:
        InputError: the table cannot be read, lacks a column, or no species has enough records.
    """
    return surveys_of(read_occurrences(source.table, source.columns), source)


def surveys_of(rows: pd.DataFrame, source: Tables) -> SurveyTables:
    """Surveys from rows of occurrences, as `read_occurrences` gives them.

    Raises:
        InputError: no place can be used, or no species has enough records.
    """
    report = Report(UPath(source.table).name, len(rows))
    nameless = rows["survey_id"].isna()
    report.drop("no_survey_id", (f"row {number + 1}" for number in np.flatnonzero(nameless)))
    rows = rows[~nameless].reset_index(drop=True)
    rows = rows[usable_places(rows, rows["survey_id"], source, report)].reset_index(drop=True)
    survey, first = pd.factorize(rows["survey_id"])[0], ~rows["survey_id"].duplicated()
    table = rows[first].drop(columns=["species", "gbif_key"]).reset_index(drop=True)
    moved = (rows["lon"] != table["lon"].to_numpy()[survey]) | (rows["lat"] != table["lat"].to_numpy()[survey])
    report.note("survey_at_two_places", rows.loc[moved, "survey_id"].unique())
    sets = species_sets(survey, rows["species"], len(table), source.min_records, report, rows["gbif_key"])
    return SurveyTables(table.assign(species=pd.Series(sets.lists)), sets.species, source.probability_kind, report)


def read_occurrences(path: str, columns: TableColumns) -> pd.DataFrame:
    """Rows with our names: `survey_id, lon, lat, year, uncertainty_m, [country,] species, gbif_key`."""
    named = {own: name for own, name in columns.model_dump().items() if name is not None}
    raw = read_table(path, list(named.values()))
    year = numbers(raw, columns.year, path) if columns.year else np.nan
    uncertainty = numbers(raw, columns.uncertainty_m, path) if columns.uncertainty_m else np.nan
    out: dict[str, Any] = {
        "survey_id": "",
        "lon": numbers(raw, columns.lon, path),
        "lat": numbers(raw, columns.lat, path),
        "year": pd.Series(year, raw.index, dtype="float64").round().astype("Int32"),
        "uncertainty_m": pd.Series(uncertainty, raw.index, dtype="float64").where(lambda each: np.isfinite(each)),
    }
    if columns.country:
        out["country"] = raw[columns.country].fillna("").astype(str)
    rows = pd.DataFrame(out)
    rows["species"] = texts(raw[columns.species])
    rows["gbif_key"] = numbers(raw, columns.gbif_key, path).astype("Int64") if columns.gbif_key else pd.NA
    if columns.survey:
        rows["survey_id"] = texts(raw[columns.survey])
    else:
        place = rows["lon"].map("{:.5f}".format) + "_" + rows["lat"].map("{:.5f}".format)
        rows["survey_id"] = place + "_" + texts(rows["year"]).fillna("")
    return rows

"""GBIF occurrences as surveys: the records of one place and day, presence-only."""

import numpy as np
import pandas as pd

from sdm_ray.readers.tables import numbers, read_table, texts
from sdm_ray.sources.base import SurveyTables
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import tables
from sdm_ray.sources.occurrences.config import Gbif, Tables

_OPTIONAL = ["species", "speciesKey", "eventDate", "coordinateUncertaintyInMeters", "countryCode"]


def surveys(source: Gbif, config: PrepareConfig) -> SurveyTables:
    """Every place and day with the set of its species.

    A species is called by `species`, the name without its authors, where a record has it, else by `scientificName`.

    Raises:
        InputError: the table cannot be read, lacks a column, or no species has enough records.
    """
    path = source.table
    raw = read_table(path, ["decimalLongitude", "decimalLatitude", "scientificName"], _OPTIONAL)
    day = raw["eventDate"].astype("string").str[:10] if "eventDate" in raw else pd.Series(pd.NA, raw.index, "string")
    lon, lat = numbers(raw, "decimalLongitude", path), numbers(raw, "decimalLatitude", path)
    rows = pd.DataFrame(
        {
            "survey_id": lon.map("{:.5f}".format) + "_" + lat.map("{:.5f}".format) + "_" + day.fillna("").astype(str),
            "lon": lon,
            "lat": lat,
            "year": pd.to_numeric(day.str[:4], errors="coerce").astype("Int32"),
            "uncertainty_m": _optional(raw, "coordinateUncertaintyInMeters", path),
        }
    )
    if "countryCode" in raw:
        rows["country"] = raw["countryCode"].fillna("").astype(str)
    name = texts(raw["scientificName"])
    rows["species"] = texts(raw["species"]).where(raw["species"].notna(), name) if "species" in raw else name
    rows["gbif_key"] = _optional(raw, "speciesKey", path).astype("Int64")
    settings = Tables(
        source="tables",
        probability_kind="relative",
        **source.model_dump(include={"table", "min_records", "region", "within", "max_uncertainty_m"}),
    )
    return tables.surveys_of(rows, settings)


def _optional(raw: pd.DataFrame, column: str, path: str) -> pd.Series:
    return numbers(raw, column, path) if column in raw else pd.Series(np.nan, raw.index)

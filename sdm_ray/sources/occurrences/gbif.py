"""GBIF occurrences as surveys: the records of one place and day, presence-only."""

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.readers.tables import degrees, numbers, read_table, texts
from sdm_ray.sources.base import Report, SurveyTables
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences.config import Gbif
from sdm_ray.sources.occurrences.scientific_names import above_species
from sdm_ray.sources.occurrences.tables import surveys_of, visits

_NEEDED = ["decimalLongitude", "decimalLatitude", "scientificName"]
_OPTIONAL = [
    "species", "speciesKey", "taxonRank", "eventDate", "coordinateUncertaintyInMeters", "countryCode",
    "occurrenceStatus", "individualCount", "gbifID",
]  # fmt: skip
_ABOVE = {"genus", "subgenus", "section", "tribe", "family", "order", "class", "phylum", "kingdom"}


def surveys(source: Gbif, config: PrepareConfig) -> SurveyTables:
    """Every place and day with the set of its species.

    A species is called by `species`, the name without its authors, where a record has it, else by `scientificName`.
    Records of absences and of taxa above the species are left out and counted.

    Raises:
        InputError: the table cannot be read, lacks a column, or no species has enough records.
    """
    path = source.table
    raw = read_table(path, _NEEDED, _OPTIONAL, source)
    report = Report(UPath(path).name, len(raw))
    name = texts(raw["scientificName"])
    if "species" in raw:
        name = texts(raw["species"]).where(raw["species"].notna(), name)
    ids = texts(raw["gbifID"]) if "gbifID" in raw else "row " + (raw.index + 1).astype(str).to_series(raw.index)
    absent, above = _absent(raw, path), _above_species(raw, name)
    report.leave("absence", ids[absent])
    report.leave("above_species", ids[above & ~absent])
    raw, name = raw[~(absent | above)], name[~(absent | above)]
    day = _optional_text(raw, "eventDate").str[:10]
    lon, lat = degrees(raw, ("decimalLongitude", "decimalLatitude"), path, source)
    rows = pd.DataFrame({"survey_id": "", "lon": lon, "lat": lat, "day": day})
    rows["survey_id"] = visits(rows, "day")
    rows = rows.drop(columns="day").assign(
        year=pd.to_numeric(day.str[:4], errors="coerce").astype("Int32"),
        uncertainty_m=_optional(raw, "coordinateUncertaintyInMeters", path, source.decimal),
        species=name,
        gbif_key=_optional(raw, "speciesKey", path).astype("Int64"),
    )
    if "countryCode" in raw:
        rows["country"] = texts(raw["countryCode"]).fillna("").astype(str)
    return surveys_of(rows, source, "relative", source.min_records, report)


def _absent(raw: pd.DataFrame, path: str) -> pd.Series:
    """Records that say that a species was not there."""
    status = _optional_text(raw, "occurrenceStatus").str.lower().isin(["absent", "absence"])
    return status | (_optional(raw, "individualCount", path) == 0)


def _above_species(raw: pd.DataFrame, name: pd.Series) -> pd.Series:
    """Records of a genus or a higher taxon, by their rank or else by their name."""
    rank = _optional_text(raw, "taxonRank").str.lower()
    by_name = name.map({each: above_species(each) for each in name.dropna().unique()}).fillna(False).astype(bool)
    return rank.isin(_ABOVE) | (~rank.isin(["species", "subspecies", "variety", "form"]) & by_name)


def _optional(raw: pd.DataFrame, column: str, path: str, decimal: str = ".") -> pd.Series:
    return numbers(raw, column, path, decimal) if column in raw else pd.Series(np.nan, raw.index)


def _optional_text(raw: pd.DataFrame, column: str) -> pd.Series:
    return (texts(raw[column]) if column in raw else pd.Series(None, raw.index, object)).astype("string")

"""GeoLifeCLEF 2023, 2024, 2025 and GeoPlant: surveys, Sentinel-2 patches and time series.

From 2024 on the tables have one row for each survey and species, keyed by `surveyId`. The tables of 2023 have no
such column. There a survey is the rows of one `patchID`, year and day of the year: `glcID` is an occurrence's own;
`date` is ISO text in some data sets and seconds since 1970 in others; a place can be surveyed again on another day.
In the published sample the two rows of one visit share all three (patch 129117, day 155 of 2019), while the two
visits of another place differ in patch and day (3008574 and 3008576).
"""

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import column_names, numbers, read_table, whole_texts
from sdm_ray.sources.base import ImageList, Report, SeriesList, SurveyTables, place_id, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.geolifeclef.config import Challenge, ChallengePatches, ChallengeSeries, ChallengeSurveys
from sdm_ray.sources.geolifeclef.patches import find_patches
from sdm_ray.sources.geolifeclef.time_series import find_cubes, read_values
from sdm_ray.sources.occurrences.tables import surveys_of
from sdm_ray.stores.surveys import ProbabilityKind

_UNCERTAINTY, _AREA, _COUNTRY = "geoUncertaintyInM", "areaInM2", "country"
_VISIT = ("patchID", "year", "dayOfYear")
_KINDS: dict[str, ProbabilityKind] = {"PA": "occurrence", "PO": "relative"}


def surveys(source: ChallengeSurveys, config: PrepareConfig) -> SurveyTables:
    """Every survey with the set of all its species, called by the challenge's numbers.

    Where the table states the area of surveys it is kept as `area_m2`; blank and infinite ones are unknown.

    Raises:
        InputError: the table cannot be read, lacks a column or names no species, or no species has enough records.
    """
    raw = _read(source, ["speciesId"])
    if raw["speciesId"].isna().all():
        raise InputError(_no_species(source, "column speciesId is blank"))
    rows = _rows(source, raw).assign(
        species=whole_texts(raw["speciesId"]), gbif_key=pd.array([pd.NA] * len(raw), "Int64")
    )
    report = Report(UPath(source.table).name, len(rows))
    found = surveys_of(rows, source, _KINDS[source.kind], source.min_records, report)
    if _AREA in raw:
        found.surveys["area_m2"] = _areas(rows["survey_id"], numbers(raw, _AREA, source.table), found)
    return found


def images(source: ChallengePatches, config: PrepareConfig) -> ImageList:
    """The patch of every survey; in 2023 several occurrences and visits share one, which is taken once.

    Raises:
        InputError: the table cannot be read or lacks a column, or there are no such patches.
    """
    patches = find_patches(source.folder, source.wanted(), source.tiff)
    raw = _read(source)
    rows = _rows(source, raw).assign(patch=whole_texts(raw["patchID" if source.source == "glc23" else "surveyId"]))
    rows = rows[rows["patch"].notna()].drop_duplicates("patch")
    report = Report(UPath(source.table).name, len(rows))
    rows = rows[usable_places(rows, rows["patch"], source, report)]
    marks = ["po"] * (source.kind == "PO") + [source.wanted()] * (source.wanted() != "rgb")
    table = pd.DataFrame(
        {
            "key": "-".join([source.source, *marks, ""]) + rows["patch"],
            "ext": patches.ext,
            "scale": "satellite",
            "lon": rows["lon"],
            "lat": rows["lat"],
            "place_id": place_id(rows["lon"].to_numpy(), rows["lat"].to_numpy()),
            "date": whole_texts(rows["year"]).fillna(""),
            "file": rows["patch"],
            "survey_id": rows["patch"] + ("-*" if source.source == "glc23" else ""),  # which visits share
            "survey_kind": _KINDS[source.kind],
        }
    )
    return ImageList(table.reset_index(drop=True), patches, report)


def series(source: ChallengeSeries, config: PrepareConfig) -> SeriesList:
    """The time series of every survey; those of 2023 are known by `timeSerieID`, which several visits may share.

    Raises:
        InputError: the table cannot be read or lacks a column, or there are no such cubes or tables.
    """
    keys = "timeSerieID" if source.source == "glc23" else "surveyId"
    raw = _read(source, [keys])
    rows = pd.DataFrame({"survey_id": _survey_ids(source, raw), "key": whole_texts(raw[keys])})
    nameless = rows.isna().any(axis=1).to_numpy()
    rows = rows[~nameless].drop_duplicates("survey_id").reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{source.table}: no row has both a survey and {keys}")
    wanted = source.wanted()
    report = Report(UPath(source.table).name, len(rows) * len(wanted))
    report.note("no_survey_id", (f"row {number + 1}" for number in np.flatnonzero(nameless)))
    found = find_cubes(source.folders, wanted) if source.cubes else read_values(source.folders, wanted, keys, report)
    return SeriesList(rows, found, report)


def _read(source: Challenge, further: list[str] | None = None) -> pd.DataFrame:
    key = list(_VISIT) if source.source == "glc23" else ["surveyId", "year"]
    needed = list(dict.fromkeys([*key, "lon", "lat", *(further or [])]))
    if "speciesId" in needed and "speciesId" not in column_names(source.table):
        raise InputError(_no_species(source, "has no column speciesId"))
    return read_table(source.table, needed, [_UNCERTAINTY, _AREA, _COUNTRY])


def _no_species(source: Challenge, found: str) -> str:
    return f"{source.table}: {found}, as in a test table; surveys need species, patches and series do not"


def _rows(source: Challenge, raw: pd.DataFrame) -> pd.DataFrame:
    """`survey_id, lon, lat, year, uncertainty_m, [country]` of each row."""
    uncertainty = numbers(raw, _UNCERTAINTY, source.table) if _UNCERTAINTY in raw else pd.Series(np.nan, raw.index)
    out = pd.DataFrame(
        {
            "survey_id": _survey_ids(source, raw),
            "lon": numbers(raw, "lon", source.table),
            "lat": numbers(raw, "lat", source.table),
            "year": numbers(raw, "year", source.table).round().astype("Int32"),
            "uncertainty_m": uncertainty.where(np.isfinite(uncertainty)),
        }
    )
    return out.assign(country=raw[_COUNTRY].fillna("").astype(str)) if _COUNTRY in raw else out


def _survey_ids(source: Challenge, raw: pd.DataFrame) -> pd.Series:
    if source.source != "glc23":
        return whole_texts(raw["surveyId"])
    patch, year, day = (whole_texts(raw[name]) for name in _VISIT)
    return (patch + "-" + year + "-" + day.str.zfill(3)).where(patch.notna() & year.notna() & day.notna(), None)


def _areas(ids: pd.Series, area: pd.Series, found: SurveyTables) -> pd.Series:
    """Area of each survey, the largest where its rows contradict each other."""
    stated = area.where(np.isfinite(area) & (area > 0))
    per_survey = stated.groupby(ids).agg(["min", "max"]).reindex(found.surveys["survey_id"])
    found.report.note("survey_of_two_areas", per_survey.index[per_survey["min"] < per_survey["max"]])
    found.report.facts["surveys_of_unknown_area"] = int(per_survey["max"].isna().sum())
    return per_survey["max"].reset_index(drop=True)

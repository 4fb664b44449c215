"""GeoLifeCLEF 2024: presence-absence surveys, one row per survey and species, and their Sentinel-2 patches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
from upath import UPath

from sdm_ray.sources import tables
from sdm_ray.sources.base import ImageList, Report, SurveyTables, place_id, usable_places
from sdm_ray.sources.catalogue.images import Glc24Patches
from sdm_ray.sources.catalogue.surveys import Glc24, TableColumns, Tables
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.reading import texts

_COLUMNS = TableColumns(
    survey="surveyId", species="speciesId", year="year", uncertainty_m="geoUncertaintyInM", country="country"
)


def surveys(source: Glc24, config: PrepareConfig) -> SurveyTables:
    """Every survey with the set of all its species, which are known by the challenge's numbers.

    Raises:
        InputError: the table cannot be read, lacks a column, or no species has enough records.
    """
    table = Tables(
        source="tables",
        table=source.table,
        columns=_COLUMNS,
        probability_kind="occurrence",
        min_records=source.min_records,
        max_uncertainty_m=source.max_uncertainty_m,
        region=source.region,
    )
    return tables.surveys(table, config)


def images(source: Glc24Patches, config: PrepareConfig) -> ImageList:
    """The RGB patch of every survey.

    Raises:
        InputError: the table cannot be read or lacks a column.
    """
    rows = tables.read_occurrences(source.table, _COLUMNS).drop_duplicates("survey_id")
    report = Report(UPath(source.table).name, len(rows))
    rows = rows[rows["survey_id"].notna()]
    rows = rows[usable_places(rows[["lon", "lat"]], rows["survey_id"], source.region, report)]
    table = pd.DataFrame(
        {
            "key": "glc24-" + rows["survey_id"],
            "ext": "jpg",
            "scale": "satellite",
            "lon": rows["lon"],
            "lat": rows["lat"],
            "place_id": place_id(rows["lon"].to_numpy(), rows["lat"].to_numpy()),
            "date": texts(rows["year"]).fillna(""),
            "file": rows["survey_id"],
        }
    )
    return ImageList(table.reset_index(drop=True), PatchFiles(source.folder), report)


def patch_paths(survey_id: str) -> list[str]:
    """Where a survey's patch may lie: `CD/AB/{id}.jpeg` for an id that ends in `ABCD`.

    Short ids are found unpadded (`1` in `1/`, `212` in `12/2/`) and padded with zeros (`212` in `12/02/`).
    """
    paths = []
    for digits in dict.fromkeys([survey_id, survey_id.zfill(4)]):
        folders = [part for part in (digits[-2:], digits[-4:-2]) if part]
        paths.append("/".join([*folders, f"{survey_id}.jpeg"]))
    return paths


@dataclass(frozen=True)
class PatchFiles:
    """Patches by survey id."""

    folder: str

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """Nothing to hold open."""
        yield self._read

    def _read(self, survey_id: str) -> bytes:
        for path in patch_paths(survey_id):
            place = UPath(self.folder) / path
            if place.exists():
                return place.read_bytes()
        raise FileNotFoundError(survey_id)

"""Sources of surveys and occurrences."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import Config
from sdm_ray.input_paths import FetchedPath
from sdm_ray.readers.config import TableFormat
from sdm_ray.sources.entry import PointSource, SurveySource


class EuForest(PointSource):
    """EU-Forest: one 1-km cell of the inventory is one survey."""

    module = "occurrences.euforest"
    source: Literal["euforest"]
    table: FetchedPath
    """Parquet or CSV with `x, y` (cell centre, EPSG:3035), `country`, `species` (or the publisher's `SPECIES NAME`)."""
    min_records: int = Field(default=200, ge=1)
    """Cells that a species must be recorded in."""
    citation: str = "EU-Forest (Mauri, Strona & San-Miguel-Ayanz 2017, Sci Data 4:160123), CC BY 4.0"


class TableColumns(Config):
    """Names of the columns of a table of occurrences."""

    lon: str = "lon"
    """Longitude, or with `crs` the easting."""
    lat: str = "lat"
    """Latitude, or with `crs` the northing."""
    species: str | list[str] = "species"
    """The column of names in a table with a row for each species of a survey. A list means a wide table with a
    row for each survey and a column for each species: names, patterns such as `sp_*`, or ranges `first:last`."""
    presence: str | None = None
    """Column with the presence of the species of a row: 0 and 1, a count, a cover, or `present` and `absent`.
    Without it every row is a presence."""
    survey: str | None = None
    """Column that rows of one survey share; without it the rows of one place and date (or year) are one survey."""
    year: str | None = None
    date: str | None = None
    """Column of dates in `date_format`; gives the year where there is no column of it."""
    uncertainty_m: str | None = None
    country: str | None = None
    gbif_key: str | None = None
    covariates: list[str] = Field(default=[])
    """Columns with numbers that describe a survey's place, such as its soil's pH, for `survey_covariates` of
    `finetune`; where rows of one survey differ, the first counts."""
    classes: list[str] = Field(default=[])
    """Columns with classes, such as the land use, likewise; a model has a covariate for each, `land use=forest`."""

    @property
    def wide(self) -> list[str] | None:
        """Patterns of the species' columns of a wide table."""
        if isinstance(self.species, str):
            return [self.species] if "*" in self.species else None
        return self.species


class Tables(SurveySource, TableFormat):
    """Any table of occurrences with named columns: text, spreadsheet, Parquet, points of a GeoPackage or shapefile.

    Points of any projection give `lon` and `lat` themselves.
    """

    module = "occurrences.tables"
    source: Literal["tables"]
    table: FetchedPath
    columns: TableColumns = TableColumns()
    places: FetchedPath | None = None
    """A table with a row for each survey, which has the columns that `table` lacks, such as the coordinates; both have
    the column `columns.survey`."""
    probability_kind: Literal["occurrence", "recorded", "relative"]
    """What a model of these surveys gives the probability of."""
    min_records: int = Field(default=1, ge=1)
    """Surveys that a species must be in."""
    date_format: str | None = None
    """`day_first`, `month_first`, or a pattern such as `%d.%m.%Y`; by default year, month and day as ISO 8601."""
    presence_above: float = Field(default=0, ge=0)
    """In `columns.presence` or a wide table: a larger number is a presence."""
    cover_classes: dict[str, float] = Field(default_factory=dict)
    """Cover class -> its cover, such as `{r: 0.1, +: 0.5, 1: 2.5, 2: 15}`."""

    @model_validator(mode="after")
    def _places_have_a_key(self) -> "Tables":
        if self.places is not None and self.columns.survey is None:
            raise ValueError("places: is joined to `table` by `columns.survey`, which names no column")
        return self

    def tables(self) -> dict[str, str]:
        """The table, and that of the surveys' places."""
        return {"table": self.table} | ({} if self.places is None else {"places": self.places})

    @field_validator("cover_classes", mode="before")
    @classmethod
    def _classes_are_text(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        return {str(key): each for key, each in value.items()} if isinstance(value, dict) else value


class Gbif(PointSource, TableFormat):
    """GBIF occurrences in Darwin Core columns: presence-only, the records of one place and day are one survey.

    Records of absences and of taxa above the species are left out and counted.
    """

    module = "occurrences.gbif"
    source: Literal["gbif", "plantnet"]
    table: FetchedPath
    """`decimalLongitude, decimalLatitude, scientificName` and perhaps `species, speciesKey, taxonRank, eventDate,
    coordinateUncertaintyInMeters, occurrenceStatus, individualCount`; a download as zip or its `occurrence.txt`, a
    Darwin Core archive, or a table joined to multimedia."""
    min_records: int = Field(default=1, ge=1)
    """Surveys that a species must be in."""
    citation: str = "GBIF occurrence download; licences by record"


class GbifCube(PointSource, TableFormat):
    """GBIF occurrence cube: presence-only, a grid cell (and year or month) is one survey with its effort."""

    module = "occurrences.gbif_cube"
    source: Literal["gbif_cube"]
    table: FetchedPath
    """With `eeacellcode` and `species`, and perhaps `specieskey, year` or `yearmonth, occurrences`."""
    effort: str | None = None
    """Column with the number of records of all target species in the cell; by default the count of the highest taxon
    that the cube has (`kingdomcount`, ..., `genuscount`), else the sum of the records in the table."""
    min_records: int = Field(default=1, ge=1)
    """Cells that a species must be in."""
    citation: str = "GBIF occurrence cube; licences by record"


class DarwinCoreEvents(PointSource):
    """Darwin Core archive of sampling events: an event that states its taxonomic scope is a presence-absence survey.

    A species is absent from an event where the event's scope holds it, the event reports its scope fully, and no
    occurrence of the event names it. The scope is that of the Humboldt extension (https://eco.tdwg.org).
    """

    module = "occurrences.darwin_core_events"
    source: Literal["darwin_core_events"]
    table: FetchedPath
    """The archive: a zip, or its folder."""
    scope: str | None = None
    """The `targetTaxonomicScope` of the events to take, as it is written; by default the one of most events. Where
    the archive has no Humboldt extension it is the scope of every event: a taxon such as `Tracheophyta`."""
    min_records: int = Field(default=1, ge=1)
    """Events that a species must be found in."""

"""Sources of surveys and occurrences."""

from typing import Literal

from pydantic import Field

from sdm_ray.config import Config
from sdm_ray.sources.entry import PointSource


class EuForest(PointSource):
    """EU-Forest: one 1-km cell of the inventory is one survey."""

    module = "occurrences.euforest"
    source: Literal["euforest"]
    table: str
    """Parquet or CSV with `x, y` (cell centre, EPSG:3035), `country`, `species` (or the publisher's `SPECIES NAME`)."""
    min_records: int = Field(default=200, ge=1)
    """Cells that a species must be recorded in."""
    citation: str = "EU-Forest (Mauri, Strona & San-Miguel-Ayanz 2017, Sci Data 4:160123), CC BY 4.0"


class TableColumns(Config):
    """Names of the columns of a table of occurrences."""

    lon: str = "lon"
    lat: str = "lat"
    species: str = "species"
    survey: str | None = None
    """Column that rows of one survey share; without it the rows of one place (and year) are one survey."""
    year: str | None = None
    uncertainty_m: str | None = None
    country: str | None = None
    gbif_key: str | None = None


class Tables(PointSource):
    """Any table of occurrences with named columns: CSV, Parquet, or points of a GeoPackage, GeoJSON or shapefile.

    Points of any projection give `lon` and `lat` themselves.
    """

    module = "occurrences.tables"
    source: Literal["tables"]
    table: str
    columns: TableColumns = TableColumns()
    probability_kind: Literal["occurrence", "recorded", "relative"]
    """What a model of these surveys gives the probability of."""
    min_records: int = Field(default=1, ge=1)


class Gbif(PointSource):
    """GBIF occurrences in Darwin Core columns: presence-only, the records of one place and day are one survey."""

    module = "occurrences.gbif"
    source: Literal["gbif", "plantnet"]
    table: str
    """`decimalLongitude, decimalLatitude, scientificName` and perhaps `species, speciesKey, eventDate,
    coordinateUncertaintyInMeters`; a download's `occurrence.txt`, or one joined to multimedia."""
    min_records: int = Field(default=1, ge=1)
    citation: str = "GBIF occurrence download; licences by record"

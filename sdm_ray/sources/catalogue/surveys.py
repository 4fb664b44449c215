"""Sources of surveys and occurrences."""

from typing import Literal

from pydantic import Field

from sdm_ray.config import Config
from sdm_ray.geo.checks import EUROPE
from sdm_ray.sources.catalogue.base import Box, FileSource


class EuForest(FileSource):
    """EU-Forest: one 1-km cell of the inventory is one survey."""

    source: Literal["euforest"]
    table: str
    """Parquet or CSV with `x, y` (cell centre, EPSG:3035), `country`, `species` (or the publisher's `SPECIES NAME`)."""
    min_records: int = Field(default=200, ge=1)
    """Cells that a species must be recorded in."""
    citation: str = "EU-Forest (Mauri, Strona & San-Miguel-Ayanz 2017, Sci Data 4:160123), CC BY 4.0"

    def files(self) -> dict[str, str]:
        """The table."""
        return {"table": self.table}


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


class Tables(FileSource):
    """Any table of occurrences: CSV or Parquet with named columns."""

    source: Literal["tables"]
    table: str
    columns: TableColumns = TableColumns()
    probability_kind: Literal["occurrence", "recorded", "relative"]
    """What a model of these surveys gives the probability of."""
    min_records: int = Field(default=1, ge=1)
    max_uncertainty_m: float | None = Field(default=None, gt=0)
    region: Box = EUROPE
    """West, south, east, north, degrees; what lies outside is dropped."""

    def files(self) -> dict[str, str]:
        """The table."""
        return {"table": self.table}

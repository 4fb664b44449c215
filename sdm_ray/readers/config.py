"""The format of a table, where its file does not state it, and tables of precomputed embeddings."""

from typing import Literal

from pydantic import Field

from sdm_ray.config import Config
from sdm_ray.input_paths import InputPath


class TableFormat(Config):
    """Settings of a table of any format; a setting of another format than the file's has no effect."""

    encoding: str | None = None
    """Of text, such as `cp1252`; by default UTF-8, or the encoding of the file's byte-order mark."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """Between the fields of text; by default comma, semicolon, tab, bar or blanks, whichever the first rows have."""
    decimal: Literal[".", ","] = "."
    """The decimal sign of numbers in text."""
    quotes: bool | None = None
    """Whether fields of text may be enclosed in double quotes. By default they may, but for tab-separated tables
    whose header has none, as in Darwin Core, where a quote is a character like any other."""
    blanks: tuple[str, ...] = ()
    """Further words for a missing value in text; an empty field, `NA`, `NaN` and `NULL` are always one."""
    sheet: str | None = None
    """Of a spreadsheet; by default the first."""
    layer: str | None = None
    """Of a GeoPackage or another file of several layers."""
    crs: str | None = None
    """Coordinate reference system of the coordinates, such as `EPSG:25832`; by default WGS84 degrees, or the one
    that a file of points states."""


PLAIN = TableFormat()
"""The settings of a table that needs none."""


class EmbeddingTable(Config):
    """A table with a precomputed embedding of each survey, such as GeoPlant's of AlphaEarth."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    """`alphaearth`, or another name of the embedding; it stands for all components where covariates are named."""
    table: InputPath
    """Parquet or text with a row for each survey: its id, and the components as numbers or one list of them."""
    key: str = "surveyId"
    """The column of the surveys' ids."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """The columns of the components in order, or the one of lists; by default columns that are named alike but for a
    number (`A00`, ..., `A63`), or the only column of lists."""
    version: str = "v1"
    """Of the embedding model; embeddings of two versions are not comparable and are never mixed."""
    year: int | None = None
    """The year that all embeddings describe; by default each survey has that of a year of its own."""

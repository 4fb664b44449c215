"""The format of a table, where its file does not state it."""

from typing import Literal

from pydantic import Field

from sdm_ray.config import Config


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

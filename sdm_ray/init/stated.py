"""What a person states of a table, where it cannot be guessed or is guessed wrongly."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from sdm_ray.errors import InputError

Kind = Literal["occurrence", "recorded", "relative"]


@dataclass(frozen=True)
class Stated:
    """Flags of `sdm-ray init`; None where something is to be guessed.

    Attributes:
        lon: column of the longitude, or of the easting in `crs`.
        lat: column of the latitude, or of the northing.
        crs: reference system of the coordinates, such as EPSG:25832.
        species: column of species names; several species columns as names with commas, a pattern, or `first:last`.
        presence: column of presence and absence.
        survey: column that the rows of one survey share.
        date: column of dates.
        year: column of years.
        kind: what the probabilities are of.
        scope: taxon that sampling events report fully.
        encoding: of a text file.
        sheet: of a spreadsheet.
        layer: of a file of several layers.
        raster_crs: projection of rasters that state none.
        resolution: side of a map's cell, metres.
    """

    lon: str | None = None
    lat: str | None = None
    crs: str | None = None
    species: str | None = None
    presence: str | None = None
    survey: str | None = None
    date: str | None = None
    year: str | None = None
    kind: Kind | None = None
    scope: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    layer: str | None = None
    raster_crs: str | None = None
    resolution: int | None = None


def stated_of(flags: Mapping[str, Any]) -> Stated:
    """What the flags of the command line state.

    Raises:
        InputError: a kind is none.
    """
    kind = flags.get("kind")
    if kind is not None and kind not in get_args(Kind):
        raise InputError(f"--kind {kind}: expected {', '.join(get_args(Kind))}")
    return Stated(**{each.name: flags.get(each.name) for each in fields(Stated)})

"""Which column of a table is what, by its name: English, French, German, Spanish, Italian, Dutch and Darwin Core."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sdm_ray.errors import InputError, few
from sdm_ray.init.stated import Stated

_NAMES = {
    "lon": (
        "decimallongitude longitude lon long lng londd longdd lonwgs84 longwgs84 longitud longitudine "
        "langengrad lengtegraad geolon gpslon xlon easting eastings rechtswert utmx utmeast xutm coordx "
        "xcoord coordonneex xl93 xwgs84 pointx coorx x east est ost"
    ),
    "lat": (
        "decimallatitude latitude lat latdd latwgs84 latitud latitudine breitengrad breedtegraad geolat "
        "gpslat ylat northing northings hochwert utmy utmnorth yutm coordy ycoord coordonneey yl93 ywgs84 "
        "pointy coory y north nord norte"
    ),
    "species": (
        "species scientificname speciesid taxonid specieskey acceptedscientificname acceptedname "
        "speciesname taxon taxa taxonname nomscientifique nomvalide nomtaxon lbnom espece especes "
        "nomespece art artname wissenschaftlichername especie especies nombrecientifico specie "
        "nomescientifico soort soortnaam wetenschappelijkenaam latinname latinskname binomial binomen "
        "plant plantname planta"
    ),
    "presence": (
        "presence presenceabsence presabs present pa occ occurrence occurrencestatus detected detection "
        "observed presenza presencia vorkommen nachweis aanwezig abundance abondance abundancia "
        "abbondanza individualcount count anzahl nombre cover coverage deckung recouvrement cobertura "
        "copertura bedekking"
    ),
    "survey": (
        "surveyid survey plotid plot plotnumber plotno plotcode plotname releve releveid relevenr "
        "relevenumber idreleve numreleve codereleve aufnahme aufnahmenummer aufnahmenr placette "
        "idplacette parcela inventario rilievo idrilievo opname opnamenummer eventid event visitid visit "
        "sampleid sampleno sample samplecode siteid site sitecode sitename station stationid stationcode "
        "transect quadrat punto point pointid id"
    ),
    "date": (
        "date eventdate observationdate obsdate surveydate visitdate samplingdate dateobs datereleve "
        "dateobservation datevisite datum aufnahmedatum fecha data"
    ),
    "year": "year surveyyear annee jahr ano anno jaar yr",
    "uncertainty_m": (
        "coordinateuncertaintyinmeters uncertaintym uncertainty accuracym positionalaccuracy gpsaccuracy precisionm"
    ),
    "country": "country countryname pays pais paese staat",
}
"""Role of a column -> names without accents, signs and capitals, the surest first."""
_FLAGS = ("lon", "lat", "species", "presence", "survey", "date", "year")
_EPSG = re.compile(r"epsg\W?(\d{4,5})", re.I)
_NATIONAL = {"l93": "EPSG:2154", "lambert93": "EPSG:2154", "laea": "EPSG:3035", "etrs89laea": "EPSG:3035"}


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their role; None where there is none.

    Attributes:
        lon: longitude or easting.
        lat: latitude or northing.
        species: names of species; a list of columns or patterns in a table with a column for each species.
        presence: presence and absence of the species of a row.
        survey: id of a survey.
        date: of the survey.
        year: of the survey.
        uncertainty_m: of the coordinates.
        country: of the survey.
    """

    lon: str
    lat: str
    species: str | list[str] | None = None
    presence: str | None = None
    survey: str | None = None
    date: str | None = None
    year: str | None = None
    uncertainty_m: str | None = None
    country: str | None = None


def find_columns(names: Sequence[str], stated: Stated, path: str) -> Columns:
    """The columns that are stated, and of the others those whose names are known.

    Args:
        names: of all columns.
        stated: what the person states.
        path: what the table is called in messages.

    Raises:
        InputError: a stated column is not there, or no column of longitudes or latitudes is known.
    """
    found: dict[str, str] = {}
    for role in _FLAGS:
        value = getattr(stated, role)
        if value is None or (role == "species" and value not in names and re.search(r"[*:,]", value)):
            continue
        if value not in names:
            raise InputError(f"{path}: has no column {value}, which --{role} names; found {few(list(names), 12)}")
        found[role] = value
    for role in _NAMES:
        free = [name for name in names if name not in found.values()]
        if role not in found and (name := _called(role, free)) is not None:
            found[role] = name
    for role in ("lon", "lat"):
        if role not in found:
            raise InputError(
                f"{path}: which column is the {'longitude' if role == 'lon' else 'latitude'}? Name it with --{role};"
                f" found {few(list(names), 12)}"
            )
    species = _listed(stated.species) if "species" not in found or stated.species not in names else None
    return Columns(**{**found, **({"species": species} if species else {})})  # type: ignore[arg-type]


def crs_in(columns: Columns) -> str | None:
    """The reference system that the names of the coordinates' columns state, such as `x_epsg25832`."""
    for name in (columns.lon, columns.lat):
        if match := _EPSG.search(name):
            return f"EPSG:{match[1]}"
        for word in re.split(r"[^a-z0-9]+", _plain(name, " ")):
            if word in _NATIONAL:
                return _NATIONAL[word]
    return None


def as_patterns(chosen: Sequence[str], names: Sequence[str]) -> list[str]:
    """Some columns as few words: a range `first:last` where they are neighbours, else what they begin with, or all."""
    first = names.index(chosen[0])
    if len(chosen) > 1 and list(names[first : first + len(chosen)]) == list(chosen):
        return [f"{chosen[0]}:{chosen[-1]}"]
    prefix = re.match(r"\w{2,}[_.]", chosen[0])
    if prefix and len(chosen) > 2 and [name for name in names if name.startswith(prefix[0])] == list(chosen):
        return [f"{prefix[0]}*"]
    return list(chosen)


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _called(role: str, names: Sequence[str]) -> str | None:
    """The column of a role: by its whole name, of coordinates and dates else by its first word (`lon_wgs84`)."""
    known = _NAMES[role].split()
    whole = {_plain(name, ""): name for name in reversed(names)}
    for words in (whole, _first_words(names)) if role in ("lon", "lat", "date") else (whole,):
        for each in known:
            if each in words:
                return words[each]
    return None


def _first_words(names: Sequence[str]) -> dict[str, str]:
    return {re.split(r"[^a-z0-9]+", _plain(name, " "))[0]: name for name in reversed(names)}


def _plain(name: str, joint: str) -> str:
    """A name in small letters without accents; signs and blanks become `joint`."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", joint, ascii_only).strip()

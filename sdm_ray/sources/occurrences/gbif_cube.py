"""GBIF occurrence cubes as surveys: the species of one grid cell and time, presence-only, with their effort.

A cube (https://docs.b-cubed.eu/occurrence-cube/specification/) has a row for each species, cell and time. How much a
cell was looked at is kept as `effort`: the records of all target species there, which a bias layer or target-group
absences can be made of.
"""

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.codes import from_eea_code
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.readers.tables import column_names, numbers, read_table, texts
from sdm_ray.sources.base import Report, SurveyTables
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences.config import GbifCube
from sdm_ray.sources.occurrences.tables import surveys_of

_CELL, _NEEDED = "eeacellcode", ["eeacellcode", "species"]
_TIMES = ["yearmonth", "year"]
_COUNTS = ["occurrences", "count", "n"]
_EFFORTS = [f"{rank}count" for rank in ("kingdom", "phylum", "class", "order", "family", "genus")]
_UNCERTAINTY = "mincoordinateuncertaintyinmeters"
_KEYS = "specieskey"


def surveys(source: GbifCube, config: PrepareConfig) -> SurveyTables:
    """Every cell and time with the set of its species, and `effort`, the number of records.

    A cell's place is its centre; its uncertainty is half its diagonal, or what the records state at least if that is
    larger.

    Raises:
        InputError: the table cannot be read or lacks a column, a cell has no code of the EEA's grid, or no species
            has enough records.
    """
    path = source.table
    raw = _read(source)
    report = Report(UPath(path).name, len(raw))
    name, cell = texts(raw["species"]), texts(raw[_CELL])
    unknown = name.isna() | cell.isna()
    report.leave("no_species_or_cell", (f"row {row + 1}" for row in np.flatnonzero(unknown)))
    raw, name, cell = raw[~unknown], name[~unknown], cell[~unknown]
    lon, lat, radius = _centres(cell, path)
    stated = numbers(raw, _UNCERTAINTY, path) if _UNCERTAINTY in raw else radius
    time = next((texts(raw[each]) for each in _TIMES if each in raw), pd.Series(None, raw.index, dtype=object))
    rows = pd.DataFrame(
        {
            "survey_id": cell + time.map("_{}".format, na_action="ignore").fillna(""),
            "lon": lon,
            "lat": lat,
            "year": pd.to_numeric(time.astype("string").str[:4], errors="coerce").astype("Int32"),
            "uncertainty_m": np.fmax(radius, stated),
            "species": name,
            "gbif_key": numbers(raw, _KEYS, path).astype("Int64") if _KEYS in raw else pd.NA,
        }
    )
    found = surveys_of(rows, source, "relative", source.min_records, report)
    found.surveys["effort"] = _effort(raw, rows["survey_id"], source).reindex(found.surveys["survey_id"]).to_numpy()
    return found


def _read(source: GbifCube) -> pd.DataFrame:
    """The columns by their names in small letters, as publishers differ in capitals."""
    written = {name.lower(): name for name in column_names(source.table, source)}
    further = [source.effort.lower()] if source.effort else []
    needed = [written.get(name, name) for name in [*_NEEDED, *further]]
    optional = [written[name] for name in [*_TIMES, *_COUNTS, *_EFFORTS, _UNCERTAINTY, _KEYS] if name in written]
    return read_table(source.table, needed, optional, source).rename(columns=str.lower)


def _centres(cells: pd.Series, path: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Longitude and latitude of the centres, degrees, and half the diagonal, metres."""
    known: dict[str, tuple[float, float, float]] = {}
    for code in cells.unique():
        try:
            known[code] = from_eea_code(code)
        except ValueError as error:
            raise InputError(f"{path}: column {_CELL}: {error}") from None
    corners = np.array([known[code] for code in cells]).reshape(-1, 3)
    side = corners[:, 2]
    lon, lat = to_lonlat(corners[:, 0] + side / 2, corners[:, 1] + side / 2)
    made = (lon, lat, side * np.sqrt(0.5))
    return tuple(pd.Series(each, cells.index) for each in made)  # type: ignore[return-value]


def _effort(raw: pd.DataFrame, survey: pd.Series, source: GbifCube) -> pd.Series:
    """Records of all target species by survey."""
    total = (source.effort or "").lower() or next((name for name in _EFFORTS if name in raw), None)
    if total:
        return numbers(raw, total, source.table).groupby(survey).max()
    count = next((numbers(raw, name, source.table) for name in _COUNTS if name in raw), pd.Series(1.0, raw.index))
    return count.groupby(survey).sum()

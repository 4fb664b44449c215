"""EU-Forest: trees of national inventories on the 1-km grid; one cell is one survey with the set of its species.

The inventories record which trees a cell has, so a species that is not recorded where others are is an absence in
the records, not in nature: `probability_kind` is `recorded`.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.codes import eea_code
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.readers.tables import column_names, numbers, read_table, texts
from sdm_ray.sources.base import Report, SurveyTables, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences.config import EuForest
from sdm_ray.sources.occurrences.species_sets import species_sets

_SIDE = 1000.0
_IN_CELL_M = 707.0
_OFF_CENTRE_M = 1061.0
"""Half the diagonal of a cell, and half that of a 500-m square more where a position was rounded to 500 m."""
_PUBLISHED = {"X": "x", "Y": "y", "COUNTRY": "country", "SPECIES NAME": "species"}
"""The publisher's column names."""
_AGREE_DEGREES = 0.001  # about 100 m


def surveys(source: EuForest, config: PrepareConfig) -> SurveyTables:
    """Cells as surveys.

    Some plots (Forest Focus, BioSoil) have positions rounded to 500 m, which are no cell centres; most of the records
    of Poland, Slovenia and Belarus have such. They go into the cell that contains the position, and that survey's
    uncertainty is larger. Longitude and latitude are computed from the cell's centre; rows whose own longitude and
    latitude disagree with it are dropped. A cell whose species are all too rare is kept with an empty set: it was
    visited.

    Raises:
        InputError: the table cannot be read, or no species has enough records.
    """
    rows = _read(source.table)
    report = Report(UPath(source.table).name, len(rows))
    rows = rows[_usable(rows, source, report)].reset_index(drop=True)
    for axis in ("x", "y"):
        rows[f"cell_{axis}"] = np.floor(rows[axis] / _SIDE) * _SIDE + _SIDE / 2
    rows["off"] = (rows["x"] != rows["cell_x"]) | (rows["y"] != rows["cell_y"])
    report.facts["rows_off_cell_centres"] = int(rows["off"].sum())
    grouped = rows.groupby(["cell_y", "cell_x"], sort=True)
    cells = grouped.agg(country=("country", "first"), off=("off", "any")).reset_index()
    lon, lat = to_lonlat(cells["cell_x"].to_numpy(), cells["cell_y"].to_numpy())
    table = pd.DataFrame(
        {
            "survey_id": [eea_code(x, y, _SIDE) for x, y in zip(cells["cell_x"], cells["cell_y"], strict=True)],
            "lon": lon,
            "lat": lat,
            "year": pd.array([pd.NA] * len(cells), "Int32"),
            "uncertainty_m": np.where(cells["off"], _OFF_CENTRE_M, _IN_CELL_M),
            "country": cells["country"],
        }
    )
    occurrences = pd.DataFrame({"species": texts(rows["species"]), "gbif_key": pd.NA})
    cell = np.asarray(grouped.ngroup(), np.int64)
    sets = species_sets(cell, occurrences, len(cells), source.min_records, report)
    return SurveyTables(table.assign(species=pd.Series(sets.lists)), sets.species, "recorded", report)


def _read(path: str) -> pd.DataFrame:
    published = {name: own for name, own in _PUBLISHED.items() if name in column_names(path)}
    needed = [next((name for name, each in published.items() if each == own), own) for own in _PUBLISHED.values()]
    rows = read_table(path, needed, ["lon", "lat"]).rename(columns=published)
    for column in {"x", "y", "lon", "lat"} & set(rows.columns):
        rows[column] = numbers(rows, column, path)
    if rows["x"].abs().max() <= 180:
        raise InputError(f"{path}: column x holds degrees, expected EPSG:3035 metres of cell centres")
    return rows


def _usable(rows: pd.DataFrame, source: EuForest, report: Report) -> NDArray[np.bool_]:
    """Rows that lie in Europe and whose own longitude and latitude, if they have them, agree with x and y."""
    lon, lat = to_lonlat(rows["x"].to_numpy(), rows["y"].to_numpy())
    keys = "x " + rows["x"].map("{:.0f}".format) + " y " + rows["y"].map("{:.0f}".format)
    usable = usable_places(pd.DataFrame({"lon": lon, "lat": lat}), keys, source, report)
    if {"lon", "lat"} <= set(rows.columns):
        apart = np.hypot((rows["lon"].to_numpy() - lon) * np.cos(np.radians(lat)), rows["lat"].to_numpy() - lat)
        disagree = usable & ~(apart <= _AGREE_DEGREES)
        report.drop("lonlat_disagrees", keys[disagree])
        usable &= ~disagree
    return usable

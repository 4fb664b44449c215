"""Time series of the challenges: cubes of one survey each, or tables with a row for each survey.

The order of the axes is the publisher's own and was compared with real cubes: Landsat is (band, quarter, year), one
value for each quarter since 2000 at the scale of the tables of bytes; climate is (variable, year, month), where the
temperatures of the third variable lie above those of the second and those of the fourth below, each with the course
of a year along the last axis: precipitation, mean, highest and lowest temperature of CHELSA.
"""

import io
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.readers.config import TableFormat
from sdm_ray.readers.tables import column_names, numbers, read_table, whole_texts
from sdm_ray.sources.base import Report
from sdm_ray.sources.geolifeclef.directory_trees import Tree, find_files, find_trees
from sdm_ray.stores.series import SeriesSpec

_BANDS = ("red", "green", "blue", "nir", "swir1", "swir2")
_VARIABLES = ("pr", "tas", "tasmax", "tasmin")
_QUARTERS, _YEARS = (1, 2, 3, 4), tuple(range(2000, 2021))
_MONTHS, _CLIMATE_YEARS = tuple(range(1, 13)), tuple(range(2000, 2019))
_CLIMATE_COLUMN = re.compile(r"(?:Bio-)?(pr|tas|tasmax|tasmin)_(\d{1,2})_(\d{4})")

SPECS = {
    "landsat": SeriesSpec(
        {"band": _BANDS, "quarter": _QUARTERS, "year": _YEARS},
        {"long_name": "surface reflectance of a quarter, bytes as published"},
    ),
    "bioclim": SeriesSpec(
        {"variable": _VARIABLES, "climate_year": _CLIMATE_YEARS, "month": _MONTHS},
        {"long_name": "monthly climate (CHELSA)", "units": "pr: 0.01 kg m-2 month-1; tas, tasmax, tasmin: 0.1 K"},
    ),
}


@dataclass(frozen=True)
class Cubes:
    """Cubes by survey id: one tree of `{...}_{id}_cube.pt` for each series."""

    trees: dict[str, Tree]

    @property
    def specs(self) -> dict[str, SeriesSpec]:
        """The series that there are."""
        return {name: SPECS[name] for name in self.trees}

    def read(self, name: str, key: str) -> NDArray[np.float32]:
        """One cube, loaded as a tensor without running code of the file.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it cannot be loaded, or has another shape.
        """
        import torch

        content = self.trees[name].read(key)
        try:
            cube = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            raise ValueError(f"cannot be loaded: {type(error).__name__}") from None
        expected = SPECS[name].shape
        if not isinstance(cube, torch.Tensor) or tuple(cube.shape) != expected:
            found = tuple(cube.shape) if isinstance(cube, torch.Tensor) else type(cube).__name__
            raise ValueError(f"is {found}, expected {expected}")
        return np.ascontiguousarray(cube.to(torch.float32).numpy())  # they are saved with their axes exchanged


@dataclass(frozen=True)
class Values:
    """Series held in memory: 2 kB a survey for Landsat, 4 kB for climate."""

    rows: dict[str, dict[str, int]]
    values: dict[str, NDArray[np.float32]]

    @property
    def specs(self) -> dict[str, SeriesSpec]:
        """The series that there are."""
        return {name: SPECS[name] for name in self.values}

    def read(self, name: str, key: str) -> NDArray[np.float32]:
        """One series.

        Raises:
            KeyError: there is none.
        """
        series: NDArray[np.float32] = self.values[name][self.rows[name][key]]
        return series


def find_cubes(folders: list[str], wanted: list[str]) -> Cubes:
    """The cubes at or under some folders.

    Raises:
        InputError: there are none of a series, or several could be meant.
    """
    found: dict[str, list[Tree]] = {name: [] for name in SPECS}
    for tree in (each for folder in folders for each in find_trees(folder, "_cube[.]pt")):
        where = f"{tree.folder}/{tree.before}".lower()
        last = max(SPECS, key=where.rfind)  # of a folder called after both, the nearer name counts
        if last in where:
            found[last].append(tree)
    folder = few(folders)
    for name in wanted:
        if len(found[name]) != 1:
            places = ", ".join(tree.folder for tree in found[name])
            raise InputError(
                f"{folder}: has {len(found[name])} folders of {name} cubes ({places}); name the one that is meant"
                if found[name]
                else f"{folder}: has no {name} cubes; expected {{...}}{name}{{...}}_{{id}}_cube.pt there or below"
            )
    return Cubes({name: found[name][0] for name in wanted})


def read_values(folders: list[str], wanted: list[str], keys: str, report: Report) -> Values:
    """The tables at or under some folders: a CSV of each Landsat band, one CSV of all climate variables.

    Args:
        folders: where they lie.
        wanted: names of series.
        keys: the tables' column of keys, `surveyId` or `timeSerieID`.
        report: takes how many keys occur more than once.

    Raises:
        InputError: a table is missing or cannot be read, or several could be meant.
    """
    rows, values = {}, {}
    for name in wanted:
        table = _landsat(folders, keys, report) if name == "landsat" else _climate(folders, keys, report)
        rows[name] = {key: row for row, key in enumerate(table.index)}
        values[name] = np.ascontiguousarray(table.to_numpy(np.float32)).reshape(len(table), *SPECS[name].shape)
    return Values(rows, values)


def _landsat(folders: list[str], keys: str, report: Report) -> pd.DataFrame:
    """Rows of the keys that all bands have; columns band by band, quarters outside, years inside."""
    columns = [f"{year}_{quarter}" for quarter in _QUARTERS for year in _YEARS]
    files = _files_in(folders, rf".*time_series[_-]({'|'.join(_BANDS)})[.]csv")
    tables = [
        _table(_single([path for path, match in files if match[1].lower() == band], folders, f"{band}"), keys, columns)
        for band in _BANDS
    ]
    return _joined(tables, report)


def _climate(folders: list[str], keys: str, report: Report) -> pd.DataFrame:
    files = _files_in(folders, r".*bioclim.*(monthly|time_series).*[.]csv")
    path = _single([path for path, _ in files], folders, "monthly bioclimatic")
    matches = [_CLIMATE_COLUMN.fullmatch(name) for name in column_names(path)]
    found = {(match[1], int(match[3]), int(match[2])): match[0] for match in matches if match}
    order = [(name, year, month) for name in _VARIABLES for year in _CLIMATE_YEARS for month in _MONTHS]
    missing = [each for each in order if each not in found]
    if missing:
        name, year, month = missing[0]
        raise InputError(f"{path}: has no column Bio-{name}_{month:02d}_{year}; found {len(found)} of {len(order)}")
    return _joined([_table(path, keys, [found[each] for each in order])], report)


def _table(path: str, keys: str, columns: list[str]) -> pd.DataFrame:
    """Numbers by key; `eos` marks the end of a series."""
    raw = read_table(path, [keys, *columns], form=TableFormat(blanks=("eos",)), numeric=columns)
    values = {name: numbers(raw, name, path).astype(np.float32) for name in columns}
    return pd.DataFrame(values).set_axis(whole_texts(raw[keys]), axis="index")


def _joined(tables: list[pd.DataFrame], report: Report) -> pd.DataFrame:
    repeated = sum(int(table.index.duplicated().sum()) for table in tables)
    report.facts["repeated_series"] = report.facts.get("repeated_series", 0) + repeated
    single = [table[~table.index.duplicated() & table.index.notna()] for table in tables]
    return pd.concat(single, axis="columns", join="inner", keys=range(len(single)))


def _files_in(folders: list[str], names: str) -> list[tuple[str, re.Match[str]]]:
    return [found for folder in folders for found in find_files(folder, names)]


def _single(files: list[str], folders: list[str], what: str) -> str:
    if len(files) != 1:
        found = f"{len(files)} tables of {what} values ({', '.join(files)})" if files else f"no table of {what} values"
        raise InputError(f"{few(folders)}: has {found}; expected one there or below")
    return files[0]

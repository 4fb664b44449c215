"""Tables as publishers write them: CSV with any of the usual separators, or Parquet."""

from collections.abc import Sequence
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers import vectors

_SHOWN = 12  # column names in a message
_NO_TABLE = (pa.ArrowInvalid, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError)


def read_table(
    path: str, needed: Sequence[str], optional: Sequence[str] = (), blanks: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the named columns of a table; others, which publishers add from time to time, are passed over.

    Args:
        path: file or URL; `.parquet` is Parquet, `.gpkg`, `.geojson`, `.fgb` and `.shp` are points, anything else text
            with `,`, `;` or tabs.
        needed: columns that must be there.
        optional: columns that are taken if they are there.
        blanks: what stands for a blank in text, besides the usual.

    Raises:
        InputError: the file is missing, is no table, lacks a column or holds no row.
    """
    place = UPath(path)
    try:
        if place.suffix in vectors.SUFFIXES:
            table = vectors.read_points(path, needed, optional)
        elif place.suffix == ".parquet":
            table = _parquet(place, needed, optional)
        else:
            table = _text(place, needed, optional, blanks)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _NO_TABLE as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    if table.empty:
        raise InputError(f"{path}: holds no rows")
    return table


def column_names(path: str) -> list[str]:
    """Names of a table's columns.

    Raises:
        InputError: the file is missing or is no table.
    """
    place = UPath(path)
    try:
        with place.open("rb", compression="gzip" if place.suffix == ".gz" else None) as file:
            return pq.read_schema(file).names if place.suffix == ".parquet" else _header(file)[1]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _NO_TABLE as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None


def numbers(table: pd.DataFrame, column: str, path: str) -> pd.Series:
    """A column as float64, blanks as NaN.

    Raises:
        InputError: a value is no number.
    """
    values = pd.to_numeric(table[column], errors="coerce").astype("float64")
    wrong = values.isna() & table[column].notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{path}: column {column}, row {row + 1} holds {table[column].iloc[row]!r}, expected a number")
    return values


def texts(values: pd.Series) -> pd.Series:
    """A column as text, blanks as None; whole numbers without the `.0` that blanks among numbers bring about."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("string").str.strip().astype(object).where(values.notna(), None)


def _parquet(place: UPath, needed: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    with place.open("rb") as file:
        source = pq.ParquetFile(file)
        columns = _wanted(place, source.schema_arrow.names, needed, optional)
        return source.read(columns=columns).to_pandas()


def _text(place: UPath, needed: Sequence[str], optional: Sequence[str], blanks: Sequence[str]) -> pd.DataFrame:
    with place.open("rb", compression="gzip" if place.suffix == ".gz" else None) as file:
        separator, names = _header(file)
        columns = _wanted(place, names, needed, optional)
        return pd.read_csv(
            file, sep=separator, usecols=columns, na_values=list(blanks), encoding="utf-8-sig", low_memory=False
        )[columns]


def _header(file: IO[bytes]) -> tuple[str, list[str]]:
    """Separator and column names; the file is then at its beginning again."""
    first = file.readline().decode("utf-8-sig").rstrip("\r\n")
    separator = max(",;\t", key=first.count)
    file.seek(0)
    names = list(pd.read_csv(file, sep=separator, nrows=0, encoding="utf-8-sig").columns)
    file.seek(0)
    return separator, names


def _wanted(place: UPath, found: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    missing = [name for name in needed if name not in found]
    if missing:
        more = ", ..." if len(found) > _SHOWN else ""
        raise InputError(f"{place}: has no column {missing[0]}; found {', '.join(found[:_SHOWN])}{more}")
    return list(dict.fromkeys([*needed, *(name for name in optional if name in found)]))

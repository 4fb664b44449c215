"""Tables as people have them: delimited text, spreadsheets, Parquet, files of points, zips and Darwin Core archives.

Text is kept as it is written until `texts` or `numbers` converts a column, so that an id never becomes a number.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers import vectors
from sdm_ray.readers.config import PLAIN, TableFormat
from sdm_ray.readers.darwin_core import META, open_archive, zip_member
from sdm_ray.readers.safe_zip import open_zip
from sdm_ray.readers.text import MISSING, Dialect, Opener, find_dialect, guessed_encoding, read_text

_IN_DEGREES = "in_degrees"  # an attribute of a table
_SHOWN = 12  # column names in a message
_TEXT = (".csv", ".txt", ".tsv", ".tab", ".dat")
_SHEETS = (".xlsx", ".xlsm")
_COMPRESSED = (".gz", ".bz2", ".xz")
Read = TypeVar("Read")
_NO_TABLE = (
    pa.ArrowException, pd.errors.ParserError, BadZipFile, zlib.error, EOFError, OSError, struct.error,
    KeyError, ValueError, TypeError, IndexError, AttributeError, SyntaxError, RuntimeError, OverflowError,
)  # fmt: skip
"""What readers of text, Parquet, spreadsheets and archives raise for content that is damaged."""


@dataclass(frozen=True)
class _Table:
    """A table whose columns are known and not read yet; `read` takes columns, and those of them that are numbers."""

    names: Sequence[str]
    read: Callable[[list[str], Sequence[str]], pd.DataFrame]
    in_degrees: bool = False
    """Whether `lon` and `lat` come from points whose reference system is known."""


def read_table(
    path: str,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    form: TableFormat = PLAIN,
    numeric: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the named columns of a table; others, which publishers add from time to time, are passed over.

    Args:
        path: file or URL. By its ending Parquet (`.parquet`), a spreadsheet (`.xlsx`), points (`.gpkg`, `.geojson`,
            `.fgb`, `.shp`), a zip of one table or a Darwin Core archive (`.zip`, or its folder), anything else is
            text. Files of points and GeoParquet have `lon` and `lat`, WGS84 degrees, of their own.
        needed: columns that must be there.
        optional: columns that are taken if they are there.
        form: settings that the file does not state itself.
        numeric: columns of text that are parsed as numbers at once, which saves memory in tables of many columns.

    Raises:
        InputError: the file is missing, is no table, lacks a column or holds no row.
    """
    table = _opened(path, form)
    names = list(table.names)
    wanted = list(dict.fromkeys([*needed, *(name for name in optional if name in names)]))
    for name in wanted:
        if names.count(name) != 1:
            more = ", ..." if len(names) > _SHOWN else ""
            found = f"found {', '.join(names[:_SHOWN])}{more}"
            raise InputError(f"{path}: has {'two columns' if name in names else 'no column'} {name}; {found}")
    rows = _attempt(path, lambda: table.read(wanted, [name for name in numeric if name in wanted]))
    if rows.empty:
        raise InputError(f"{path}: holds no rows")
    rows.attrs[_IN_DEGREES] = table.in_degrees
    return rows


def column_names(path: str, form: TableFormat = PLAIN) -> list[str]:
    """Names of a table's columns.

    Raises:
        InputError: the file is missing or is no table.
    """
    return [name for name in _opened(path, form).names if name]


def encoding_of(path: str) -> tuple[str, str] | None:
    """The likeliest encoding of a text file that does not state it and is not UTF-8, and a word of it so read.

    None for other formats, for zips, and where the encoding is known.

    Raises:
        InputError: there is no such file.
    """
    opener = _text_opener(path)
    return None if opener is None else guessed_encoding(opener)


def dialect_of(path: str, form: TableFormat = PLAIN) -> Dialect | None:
    """How a text file is written; None for other formats and for zips.

    Raises:
        InputError: there is no such file, or it is not in the stated encoding.
    """
    opener = _text_opener(path)
    return None if opener is None else find_dialect(path, opener, form)


def _text_opener(path: str) -> Opener | None:
    place = UPath(path)
    if not place.exists():
        raise InputError(f"{path}: no such file")
    suffix = place.suffix.lower()
    if place.is_dir() or suffix in (*vectors.SUFFIXES, *_SHEETS, ".parquet", ".zip"):
        return None
    return lambda: place.open("rb", compression="infer" if suffix in _COMPRESSED else None)


def numbers(table: pd.DataFrame, column: str, path: str, decimal: str = ".") -> pd.Series:
    """A column as float64, blanks as NaN.

    Args:
        table: of `read_table`.
        column: its name.
        path: what the table is called in messages.
        decimal: the decimal sign of numbers in text.

    Raises:
        InputError: a value is no number.
    """
    values, missing = table[column], table[column].isna()
    if not pd.api.types.is_numeric_dtype(values):
        values = values.astype("string").str.strip()
        missing |= values == ""
        values = values if decimal == "." else values.str.replace(".", "?").str.replace(decimal, ".")
    found = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = (found.isna() & ~missing).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raw = table[column].iloc[row]
        comma = decimal == "." and str(raw).replace(",", "", 1).strip("+- ").isdigit()
        raise InputError(
            f"{path}: column {column}, row {row + 1} holds {raw!r}, expected a number"
            + (" (or state `decimal: ','`)" if comma else "")
        )
    return found


def degrees(
    table: pd.DataFrame, columns: tuple[str, str], path: str, form: TableFormat = PLAIN
) -> tuple[pd.Series, pd.Series]:
    """Longitude and latitude, WGS84 degrees, blanks as NaN; infinite where `form.crs` does not reach.

    Args:
        table: of `read_table`.
        columns: of longitude and latitude, or of easting and northing in `form.crs`.
        path: what the table is called in messages.
        form: names the decimal sign and the reference system; points of a file are in degrees already.

    Raises:
        InputError: a value is no number, or the reference system is not known.
    """
    x, y = (numbers(table, column, path, form.decimal) for column in columns)
    if form.crs is None or table.attrs.get(_IN_DEGREES):
        return x, y
    known = (x.notna() & y.notna()).to_numpy()
    lon, lat = vectors.to_degrees(path, x.to_numpy(), y.to_numpy(), form.crs)
    return pd.Series(np.where(known, lon, np.nan), x.index), pd.Series(np.where(known, lat, np.nan), y.index)


def texts(values: pd.Series) -> pd.Series:
    """A column as text, blanks as None; numbers of a binary format as people write them, whole ones without `.0`."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    found = values.astype("string").str.strip()
    return found.astype(object).where(found.notna() & (found != ""), None)


def whole_texts(values: pd.Series) -> pd.Series:
    """A column of whole numbers as text, without the `.0` that some tools write where a column holds blanks."""
    return texts(values).str.replace(r"\.0+$", "", regex=True).astype(object).where(values.notna(), None)


def _opened(path: str, form: TableFormat) -> _Table:
    place = UPath(path)
    if not place.exists():
        raise InputError(f"{path}: no such file")
    return _attempt(path, lambda: _by_format(place, form))


def _attempt(path: str, read: Callable[[], Read]) -> Read:
    try:
        return read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _NO_TABLE as error:
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read as a table ({found})") from None


def _by_format(place: UPath, form: TableFormat) -> _Table:
    if place.is_dir():
        return _archive(place, form)
    suffix = place.suffix.lower()
    if suffix in vectors.SUFFIXES:
        rows = vectors.read_points(str(place), form)
        return _Table([str(name) for name in rows.columns], lambda wanted, _: rows[wanted], in_degrees=True)
    if suffix == ".zip":
        return _zipped(place, form)
    compression = "infer" if suffix in _COMPRESSED else None
    return _file(str(place), place.name, lambda: place.open("rb", compression=compression), form)


def _file(path: str, name: str, opener: Opener, form: TableFormat) -> _Table:
    """A table in one file, of the format that its name ends with."""
    if name.lower().endswith(".parquet"):
        return _parquet(path, opener, form)
    if name.lower().endswith(_SHEETS):
        return _sheet(opener, form)
    dialect = find_dialect(path, opener, form)
    return _Table(dialect.names, lambda wanted, numeric: read_text(path, opener, dialect, wanted, numeric, form.blanks))


def _zipped(place: UPath, form: TableFormat) -> _Table:
    with open_zip(place) as archive:
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
    if any(name.rsplit("/", 1)[-1] == META for name in names):
        return _archive(place, form)
    tables = [name for name in names if name.lower().endswith((*_TEXT, *_SHEETS, ".parquet"))]
    if len(tables) != 1:
        found = ", ".join(tables[:_SHOWN]) or "none"
        raise InputError(f"{place}: holds {len(tables)} tables ({found}), expected one; unpack it and name one")
    return _file(f"{place}: {tables[0]}", tables[0], zip_member(place, tables[0]), form)


def _archive(place: UPath, form: TableFormat) -> _Table:
    core = open_archive(place)[0]
    return _Table(core.names, lambda wanted, numeric: core.read(wanted, numeric, form.blanks))


def _sheet(opener: Opener, form: TableFormat) -> _Table:
    with opener() as file:
        rows = pd.read_excel(file, sheet_name=form.sheet or 0, dtype=object, engine="openpyxl", keep_default_na=False)
    rows = rows.set_axis([" ".join(str(name).split()) for name in rows.columns], axis="columns")
    rows = rows.mask(rows.isin([*MISSING, *form.blanks])).dropna(how="all").reset_index(drop=True).infer_objects()
    return _Table(list(rows.columns), lambda wanted, _: rows[wanted])


def _parquet(path: str, opener: Opener, form: TableFormat) -> _Table:
    with opener() as file:
        schema = pq.read_schema(file)
    geometry = vectors.geometry_of(schema)

    def read(wanted: list[str], numeric: Sequence[str]) -> pd.DataFrame:
        with opener() as file:
            if geometry is None or set(wanted) <= set(schema.names):
                return vectors.to_frame(pq.read_table(file, columns=wanted))[wanted]
            needed = [name for name in wanted if name in schema.names]
            table = pq.read_table(file, columns=list(dict.fromkeys([*needed, geometry[0]])))
        return vectors.read_geoparquet(path, table, form)[wanted]

    ours = [name for name in ("lon", "lat") if geometry and name not in schema.names]
    return _Table([*schema.names, *ours], read, in_degrees=bool(ours))

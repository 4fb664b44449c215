"""Delimited text: its encoding, separator and quotes are found, and every field is kept as it is written."""

import codecs
import csv
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

import pandas as pd
from charset_normalizer import from_bytes

from sdm_ray.errors import InputError
from sdm_ray.readers.config import TableFormat

Opener = Callable[[], AbstractContextManager[IO[bytes]]]

_SAMPLE = 1 << 16  # bytes that encoding and separator are found from
_SEPARATORS = "\t;,|"
_BLANKS = " "
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CODE_PAGES = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "mac_roman"]
MISSING = ["", "NA", "<NA>", "#N/A", "NaN", "nan", "NULL", "null"]
"""Fields of text that are missing values; `None` is none of them, as it may be a name."""
_READINGS = 2  # of a text of unknown encoding, in a message


@dataclass(frozen=True)
class Dialect:
    """How a text is written.

    Attributes:
        encoding: a codec of Python.
        separator: between fields; a blank means any number of blanks.
        quotes: whether fields may be enclosed in double quotes.
        header_lines: lines before the first row.
        names: of the columns, from the first on; a column without a name is "".
        complete: whether these are all columns, so that a further field is a mistake.
    """

    encoding: str
    separator: str
    quotes: bool
    header_lines: int
    names: list[str]
    complete: bool = True


def find_dialect(path: str, opener: Opener, form: TableFormat) -> Dialect:
    """How a text with one line of column names is written.

    Raises:
        InputError: it is empty, or not in the stated encoding, or, where none is stated, not in UTF-8.
    """
    with opener() as file:
        sample = file.read(_SAMPLE)
    mark = next((name for mark, name in _BYTE_ORDER_MARKS.items() if sample.startswith(mark)), None)
    encoding = form.encoding or mark or "utf-8"
    text = _decoded(path, sample, encoding)
    if not text.strip():
        raise InputError(f"{path}: cannot be read as a table (it is empty)")
    separator = form.separator or _separator(text, form.quotes)
    header, first = (*_first_rows(text, separator, form.quotes), [], [])[:2]
    quotes = _has_quotes(text, separator, form.quotes)
    names = [" ".join(name.strip('" ').split()) for name in header]
    if len(first) == len(names) + 1 and first[-1]:
        names = ["", *names]  # numbers of rows, which R writes under no name
    return Dialect(encoding, separator, quotes, 1, names)


def read_text(
    path: str, opener: Opener, dialect: Dialect, wanted: Sequence[str], numeric: Sequence[str], blanks: Sequence[str]
) -> pd.DataFrame:
    """Columns as they are written, what is missing as NaN.

    Args:
        path: what the file is called in messages.
        opener: opens it from its beginning.
        dialect: how it is written.
        wanted: names of columns.
        numeric: those of them that are parsed as numbers at once, where all their fields are numbers.
        blanks: further words for a missing value.

    Raises:
        InputError: the text has another encoding, or a row has more fields than there are columns.
    """
    at = {name: dialect.names.index(name) for name in wanted}
    places = list(at.values())
    as_text = dict.fromkeys(places, "str")
    kind = {at[name]: "float64" if name in numeric else "str" for name in wanted}
    try:
        if dialect.complete:
            _refuse_longer_rows(path, opener, dialect)
        try:
            table = _parsed(opener, dialect, places, kind, blanks)
        except ValueError:
            if kind == as_text:
                raise
            table = _parsed(opener, dialect, places, as_text, blanks)  # whoever reads the numbers names the row
    except UnicodeDecodeError:
        with opener() as file:
            raise _other_encoding(path, file.read(), dialect.encoding) from None
    return table[places].set_axis(list(at), axis="columns")


def _parsed(
    opener: Opener, dialect: Dialect, places: list[int], kind: dict[int, str], blanks: Sequence[str]
) -> pd.DataFrame:
    try:
        with opener() as file:
            return pd.read_csv(
                file,
                sep=r"\s+" if dialect.separator == _BLANKS else dialect.separator,
                header=None,
                skiprows=dialect.header_lines,
                names=list(range(max([*places, len(dialect.names) - 1]) + 1)),
                usecols=places,
                index_col=False,
                skipinitialspace=dialect.separator != "\t",
                dtype=kind,
                quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
                keep_default_na=False,
                na_values=[*MISSING, *blanks],
                encoding=dialect.encoding,
                low_memory=False,
            )
    except (pd.errors.EmptyDataError, IndexError):  # which of them depends on the last line's end
        return pd.DataFrame(columns=places)


def _refuse_longer_rows(path: str, opener: Opener, dialect: Dialect) -> None:
    """Fields beyond the last column: pandas drops them in silence, and one too many shifts the others."""
    beyond = len(dialect.names)
    try:
        found = _parsed(opener, dialect, [beyond], {beyond: "str"}, [])[beyond].notna().to_numpy()
    except pd.errors.ParserError as error:
        if "Too many columns" in str(error):  # how pandas reports that no row has so many
            return
        raise
    if found.any():
        raise InputError(f"{path}: row {int(found.argmax()) + 1} has more than the {beyond} fields of the header")


def _decoded(path: str, sample: bytes, encoding: str) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except LookupError:
        raise InputError(f"{path}: encoding {encoding!r} is not known; expected such as utf-8, cp1252") from None
    except UnicodeError:
        raise _other_encoding(path, sample, encoding) from None
    if "\0" in text:
        raise _other_encoding(path, sample, encoding)
    return text


def _other_encoding(path: str, content: bytes, encoding: str) -> InputError:
    """A line that names the likeliest encodings of a text, with a word of it in each."""
    if b"\0" in content[:_SAMPLE]:
        found = from_bytes(content[:_SAMPLE], cp_isolation=["utf_16_le", "utf_16_be"]).best()
        seems = f"seems to be {found.encoding.replace('_', '-')}" if found else "is no text"
        return InputError(f"{path}: is not {encoding}, it {seems}; state its `encoding`")
    shown = " or ".join(f"{page} ({text!r})" for text, page in list(_readings(content).items())[:_READINGS])
    return InputError(f"{path}: is not {encoding}, it seems to be {shown or 'no text'}; state its `encoding`")


def guessed_encoding(opener: Opener) -> tuple[str, str] | None:
    """The likeliest encoding of a text that is neither UTF-8 nor has a byte-order mark, and a word of it so read.

    None where the text is UTF-8, has a mark, or is in an encoding that has zero bytes.
    """
    with opener() as file:
        content = file.read()
    if content.startswith(tuple(_BYTE_ORDER_MARKS)) or b"\0" in content[:_SAMPLE]:
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        word, page = next(iter(_readings(content).items()))
        return page, word
    return None


def _readings(content: bytes) -> dict[str, str]:
    """A word beyond ASCII as it reads in each likely encoding -> the encoding, the likeliest first."""
    word = next((word for word in content.replace(b'"', b" ").split() if any(byte > 127 for byte in word)), b"")
    word = max(word.translate(bytes.maketrans(b",;|", b"   ")).split(), key=lambda part: sum(b > 127 for b in part))
    readings: dict[str, str] = {}
    for page in sorted(_pages(content), key=lambda page: (_odd(content, page), page != "cp1252")):
        readings.setdefault(word.decode(page, "replace"), page)
    return readings


def _pages(content: bytes) -> list[str]:
    beyond = b"\n".join(line for line in content.splitlines() if any(byte > 127 for byte in line))[:_SAMPLE]
    return ["cp1252", *(match.encoding for match in from_bytes(beyond, cp_isolation=_CODE_PAGES))]


def _odd(content: bytes, page: str) -> int:
    """Characters beyond ASCII that are no letters."""
    return sum(ord(each) > 127 and not each.isalpha() for each in content[:_SAMPLE].decode(page, "replace"))


def _separator(text: str, quotes: bool | None) -> str:
    """The separator that the first row has as many of as the header, and most; blanks where no other is there."""

    def fit(separator: str) -> tuple[bool, int]:
        widths = [len(row) for row in _first_rows(text, separator, quotes)]
        return len(widths) < 2 or widths[1] - widths[0] in (0, 1), widths[0]

    best = max(_SEPARATORS, key=fit)
    if fit(best)[1] > 1:
        return best
    return _BLANKS if fit(_BLANKS)[1] > 1 and fit(_BLANKS)[0] else ","


def _has_quotes(text: str, separator: str, stated: bool | None) -> bool:
    return stated if stated is not None else separator != "\t" or '"' in text.split("\n", 1)[0]


def _first_rows(text: str, separator: str, quotes: bool | None) -> list[list[str]]:
    """Fields of the header and the first row."""
    rows = csv.reader(
        io.StringIO(text.lstrip("\ufeff"), newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if _has_quotes(text, separator, quotes) else csv.QUOTE_NONE,
        skipinitialspace=separator != "\t",
    )
    found = [row for row, _ in zip(rows, range(2), strict=False)]
    return [[field for field in row if field] for row in found] if separator == _BLANKS else found

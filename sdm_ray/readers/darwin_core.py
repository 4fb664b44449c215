"""Darwin Core archives: a zip or folder of text tables that `meta.xml` describes.

The description is read as the text guide of Darwin Core defines it (https://dwc.tdwg.org/text/).
"""

import codecs
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO
from zipfile import BadZipFile

import pandas as pd
from dwca.descriptors import ArchiveDescriptor, DataFileDescriptor
from dwca.exceptions import InvalidArchive
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.safe_zip import open_zip
from sdm_ray.readers.text import Dialect, Opener, read_text

META = "meta.xml"
ID = "id"
"""The column that the rows of an extension share with the row of the core which they belong to."""


@dataclass(frozen=True)
class ArchiveTable:
    """One table of an archive.

    Attributes:
        path: what it is called in messages.
        row_type: what a row is, such as `Event`, `Occurrence` or `HumboldtEcologicalInventory`.
        dialect: how it is written; its columns are called by their terms without a namespace.
        defaults: term -> value that all rows have.
        opener: opens it from its beginning.
    """

    path: str
    row_type: str
    dialect: Dialect
    defaults: dict[str, str]
    opener: Opener

    @property
    def names(self) -> list[str]:
        """Terms of the columns."""
        return [*(name for name in self.dialect.names if name), *self.defaults]

    def read(self, wanted: Sequence[str], numeric: Sequence[str] = (), blanks: Sequence[str] = ()) -> pd.DataFrame:
        """Columns as they are written, what is missing as NaN.

        Raises:
            InputError: the text is not in the encoding that the description states.
        """
        columns = [name for name in wanted if name in self.dialect.names]
        rows = read_text(self.path, self.opener, self.dialect, columns or [self.dialect.names[0]], numeric, blanks)
        for name, value in self.defaults.items():
            rows[name] = rows[name].fillna(value) if name in columns else value
        return rows[list(wanted)]


def open_archive(place: UPath) -> list[ArchiveTable]:
    """The tables of an archive, the core first.

    Raises:
        InputError: it is no zip or folder, or the description cannot be read or names a file that is not there.
    """
    try:
        openers = _members(place)
    except FileNotFoundError:
        raise InputError(f"{place}: no such file or folder") from None
    except (BadZipFile, NotImplementedError, OSError) as error:
        raise InputError(f"{place}: cannot be read as a Darwin Core archive, a zip or folder ({error})") from None
    meta = next((name for name in openers if name.rsplit("/", 1)[-1] == META), None)
    if meta is None:
        raise InputError(f"{place}: holds no {META}; expected a Darwin Core archive")
    with openers[meta]() as file:
        content = file.read()
    try:
        described = ArchiveDescriptor(content.decode("utf-8-sig"))
    except (ET.ParseError, InvalidArchive, AttributeError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: {META} describes no archive ({error})") from None
    folder = meta[: -len(META)]
    return [_table(place, each, openers, folder) for each in [described.core, *described.extensions]]


def _table(place: UPath, about: DataFileDescriptor, openers: dict[str, Opener], folder: str) -> ArchiveTable:
    name = folder + about.file_location
    if name not in openers:
        raise InputError(f"{place}: {META} names {about.file_location}, which is not there")
    at = {int(field["index"]): _term(field["term"]) for field in about.fields if field["index"] is not None}
    key = about.id_index if about.represents_corefile else about.coreid_index
    names = [at.get(i, "") for i in range(max([*at, key or 0]) + 1)]
    if key is not None:
        names[key] = names[key] or ID
    defaults = {_term(field["term"]): field["default"] for field in about.fields if field["default"]}
    dialect = Dialect(
        codecs.lookup(about.file_encoding or "utf-8").name,
        about.fields_terminated_by,
        bool(about.fields_enclosed_by),
        about.lines_to_ignore,
        names,
        complete=False,
    )
    row_type = _term(about.type or "")
    return ArchiveTable(f"{place}: {about.file_location}", row_type, dialect, defaults, openers[name])


def _term(uri: str) -> str:
    return uri.replace("#", "/").rsplit("/", 1)[-1]


def _members(place: UPath) -> dict[str, Opener]:
    """Name -> opener of each file of a zip, or of a folder."""
    if place.is_dir():
        return {file.name: partial(_open, file) for file in place.iterdir() if file.is_file()}
    with open_zip(place) as archive:
        return {name: zip_member(place, name) for name in archive.namelist()}


def _open(file: UPath) -> AbstractContextManager[IO[bytes]]:
    return file.open("rb")


def zip_member(place: UPath, name: str) -> Opener:
    """Opens a file of a zip."""

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with open_zip(place) as archive, archive.open(name) as member:
            yield member

    return opened

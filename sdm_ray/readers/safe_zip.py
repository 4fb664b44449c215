"""Zips from elsewhere: read in place, never unpacked, and refused where they are made to do harm."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from zipfile import ZipFile, ZipInfo

from upath import UPath

from sdm_ray.errors import InputError

_LARGE = 1 << 30  # bytes of a member that may be inflated whatever it was compressed to
_RATIO = 200  # above that; text compresses to a twentieth, deflate reaches a thousandth with zeros


@contextmanager
def open_zip(place: UPath) -> Iterator[ZipFile]:
    """A zip that is open for reading.

    Raises:
        InputError: a member has a path outside the zip, or inflates to an absurd size.
        BadZipFile: it is no zip.
    """
    with place.open("rb") as file, ZipFile(file) as archive:
        for member in archive.infolist():
            if reason := _harm(member):
                raise InputError(f"{place}: {member.filename[:200]!r} {reason}; expected a harmless archive")
        yield archive


def escapes(name: str) -> bool:
    """Whether a name inside a folder or archive leads outside of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or name.startswith(("/", "\\")) or bool(PureWindowsPath(name).drive)


def _harm(member: ZipInfo) -> str | None:
    if escapes(member.filename):
        return "leads outside of the archive"
    if member.file_size > _LARGE and member.file_size > _RATIO * max(member.compress_size, 1):
        return f"inflates from {member.compress_size:,} to {member.file_size:,} bytes"
    return None

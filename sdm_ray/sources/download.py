"""Source files that are not there yet."""

import hashlib
import urllib.error
import urllib.request
from contextlib import AbstractContextManager
from typing import IO

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.sources.entry import Download

_PIECE = 1 << 20


def ensure(path: UPath, download: Download | None, key: str) -> None:
    """See that a file is there, fetching it if its source says from where.

    The file is written under a temporary name and takes its own only when its checksum is right.

    Args:
        path: where the file belongs.
        download: its address and checksum.
        key: of the configuration, for messages.

    Raises:
        InputError: the file is missing and has no address, the address does not answer, or the checksum is wrong.
    """
    if path.exists():
        return
    if download is None:
        raise InputError(f"{path}: no such file ({key})")
    say(f"fetching {download.url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parent / f"{path.name}.part"
    try:
        found = _copy(download.url, draft)
    except (urllib.error.URLError, OSError) as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{key}: {download.url} cannot be fetched ({error})") from None
    if found != download.sha256:
        draft.unlink()
        raise InputError(f"{key}: {download.url} has sha256 {found}, expected {download.sha256}; removed")
    draft.rename(path)


def _copy(url: str, draft: UPath) -> str:
    digest = hashlib.sha256()
    with _open(url) as source, draft.open("wb") as target:
        while piece := source.read(_PIECE):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()


def _open(url: str) -> AbstractContextManager[IO[bytes]]:
    if url.startswith(("http://", "https://", "ftp://")):
        return urllib.request.urlopen(url, timeout=60)
    return UPath(url).open("rb")

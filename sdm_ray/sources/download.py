"""Source files that are not there yet."""

import ftplib
from pathlib import Path
from tempfile import TemporaryDirectory

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.sources.entry import Download


def ensure(path: UPath, download: Download | None, key: str) -> None:
    """Download a file that is missing, where its source gives an address.

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
    say(f"downloading {download.url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.protocol in ("", "file", "local"):
            _retrieve(download, Path(path.path), key)
            return
        with TemporaryDirectory() as folder:  # pooch writes to local folders only
            local = Path(folder) / path.name
            _retrieve(download, local, key)
            path.fs.put_file(str(local), path.path)
    except (OSError, EOFError, ftplib.Error) as error:
        raise InputError(f"{key}: {download.url} cannot be downloaded ({error})") from None


def _retrieve(download: Download, path: Path, key: str) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    by_pooch = download.url.startswith(("http://", "https://", "ftp://", "sftp://", "doi:"))
    downloader = None if by_pooch else _from_filesystem
    try:
        pooch.retrieve(download.url, f"sha256:{download.sha256}", path.name, path.parent, downloader=downloader)
    except ValueError as error:  # of another checksum; pooch has removed what it downloaded
        reason = str(error).partition(". ")[0]
        raise InputError(f"{key}: {download.url} cannot be used: {reason}") from None


def _from_filesystem(url: str, output_file: str, _: object) -> None:
    """A downloader for what pooch does not know: buckets and folders."""
    place = UPath(url)
    place.fs.get_file(place.path, output_file)

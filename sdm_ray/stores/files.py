"""Files that are whole or not there, and listings that are as they are now."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from fsspec.config import conf
from upath import UPath

from sdm_ray.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_DRAFTS = (".tmp", ".partial", ".__lock")  # of `replacing`, of Zarr, and of TensorStore

for _protocol in ("s3", "s3a", "gs", "gcs"):
    # fsspec remembers listings for the life of a process, and what other processes write meanwhile is not among them:
    # a resumed map was sealed with the figures of 15 of its 35 tiles.
    conf.setdefault(_protocol, {}).setdefault("use_listings_cache", False)


def read_parquet(path: UPath, columns: list[str] | None = None) -> "pa.Table":
    """A Parquet file, or some columns of one.

    Raises:
        InputError: it is missing, damaged or no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            return pq.read_table(file, columns=columns)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: is damaged, or no Parquet file ({first_line(error)})") from None


def first_line(error: BaseException) -> str:
    """The message of an error, in one line that is not too long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def replacing(path: UPath, *, shared: bool = False) -> Iterator[UPath]:
    """A place beside a file to write it to; the file gets its name once it is whole.

    A file that a full disk, a kill or an error cut short never has the right name, and one that was there before is
    replaced in one step.

    Args:
        path: of the file.
        shared: whether several processes may write the same file at a time, so that each needs a place of its own.
    """
    draft = path.parent / f"{path.name}.{uuid4().hex}.tmp" if shared else path.parent / f"{path.name}.tmp"
    try:
        yield draft
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    draft.rename(path)


def remove_drafts(folder: UPath) -> None:
    """Remove the drafts of files that killed workers left in a folder; of one in an object store, those of a ledger.

    Others are not there: chunks get to an object store whole, and its listing may be long.
    """
    place = folder if folder.protocol in ("", "file", "local") else folder / "ledger"
    if place.is_dir():
        for file in filter(is_draft, place.fs.find(place.path)):
            with suppress(FileNotFoundError):  # its writer was still alive
                place.fs.rm_file(file)


def is_draft(name: str) -> bool:
    """Whether a file is one that is written under another name first."""
    return name.endswith(_DRAFTS)

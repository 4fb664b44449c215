"""Ranges of files at a URL, for threads that each wait for their answer.

A request to S3 costs obstore, where it is installed, a third of the CPU that it costs s3fs
(`tests/benchmarks/bench_object_store.py`). Which endpoint, region and credentials apply is what s3fs finds out.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import fsspec
from fsspec.asyn import sync

from sdm_ray.stores.shards import GAP_BYTES

if TYPE_CHECKING:
    from obstore.store import S3Credential

_CREDENTIALS_FOR = timedelta(minutes=5)  # until they are asked for again
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}  # s3fs tries after them

Content = bytes | memoryview
T = TypeVar("T")


class Ranges(Protocol):
    """Reads parts of files by their paths.

    Attributes:
        gap_bytes: that cost about as much, read for nothing, as another request.
    """

    gap_bytes: int

    def tail(self, path: str, size: int) -> bytes:
        """The last bytes of a file.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be read.
        """
        ...

    def parts(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> Sequence[Content]:
        """The bytes from each start to before its end, each by one request, several at a time.

        Raises:
            OSError: they cannot be read.
        """
        ...


def ranges_of(files: Any) -> Ranges:  # noqa: ANN401 - a file system of fsspec
    """The fastest reader of ranges for a file system, which may be an asynchronous one."""
    waiting = _synchronous(files)
    plain = _Plain(waiting)
    on_s3 = "s3" in ([waiting.protocol] if isinstance(waiting.protocol, str) else waiting.protocol)
    return _S3(waiting, plain) if on_s3 and find_spec("obstore") else plain


class _Plain:
    """By fsspec."""

    gap_bytes = GAP_BYTES

    def __init__(self, files: Any) -> None:  # noqa: ANN401
        self._files = files

    def tail(self, path: str, size: int) -> bytes:
        return cast(bytes, self._files.cat_file(path, start=-size))

    def parts(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> Sequence[Content]:
        if not starts:
            return []
        found = self._files.cat_ranges([path] * len(starts), list(starts), list(ends), on_error="raise")
        return cast(Sequence[Content], found)


class _S3:
    """By obstore; by fsspec, whose errors say more, for good where obstore fails."""

    gap_bytes = 1 << 17

    def __init__(self, files: Any, plain: _Plain) -> None:  # noqa: ANN401
        self._files, self._plain, self._works = files, plain, True
        self._buckets: dict[str, Any] = {}

    def tail(self, path: str, size: int) -> bytes:
        import obstore

        def read(bucket: Any, key: str) -> bytes:  # noqa: ANN401
            return bytes(obstore.get(bucket, key, options={"range": {"suffix": size}}).bytes())

        found = self._read(path, read)
        return self._plain.tail(path, size) if found is None else found

    def parts(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> Sequence[Content]:
        import obstore

        def read(bucket: Any, key: str) -> list[memoryview]:  # noqa: ANN401
            found = obstore.get_ranges(bucket, key, starts=list(starts), ends=list(ends), coalesce=0)
            return [memoryview(each) for each in found]

        found = self._read(path, read) if starts else None
        return self._plain.parts(path, starts, ends) if found is None else found

    def _read(self, path: str, read: Callable[[Any, str], T]) -> T | None:
        """What obstore reads; None where it does not work."""
        from obstore.exceptions import BaseError

        if not self._works:
            return None
        name, key = path.split("/", 1)
        try:
            if name not in self._buckets:
                self._buckets[name] = _bucket(self._files, name)
            return read(self._buckets[name], key)
        except FileNotFoundError as error:
            raise FileNotFoundError(path) from error
        except (BaseError, OSError):
            self._works = False
            return None


def _bucket(files: Any, name: str) -> Any:  # noqa: ANN401
    """A bucket, as s3fs would reach it."""
    from obstore.store import S3Store

    def credentials() -> "S3Credential":
        return _credentials(files)

    where = files.s3.meta  # connects where that has not been done
    options: dict[str, Any] = {"region": where.region_name or "us-east-1", "retry_config": _RETRIES}
    if "amazonaws.com" not in where.endpoint_url:
        options |= {"endpoint": where.endpoint_url, "virtual_hosted_style_request": False}
        options["client_options"] = {"allow_http": where.endpoint_url.startswith("http:")}
    if files.anon:
        return S3Store(name, skip_signature=True, **options)
    return S3Store(name, credential_provider=credentials, **options)


def _credentials(files: Any) -> "S3Credential":  # noqa: ANN401
    """The credentials of a file system, which s3fs renews."""
    key, secret, token = files.key, files.secret, files.token
    if not key:
        key, secret, token = sync(files.loop, _found, files)
    until = datetime.now(UTC) + _CREDENTIALS_FOR
    return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": until}


async def _found(files: Any) -> tuple[str, str, str | None]:  # noqa: ANN401
    found = await (await files.session.get_credentials()).get_frozen_credentials()
    return found.access_key, found.secret_key, found.token


def _synchronous(files: Any) -> Any:  # noqa: ANN401
    """The file system for threads that each wait for their answer."""
    wrapped = getattr(files, "sync_fs", None)
    if wrapped is not None:
        return wrapped
    if not getattr(files, "asynchronous", False):
        return files
    protocol = files.protocol if isinstance(files.protocol, str) else files.protocol[0]
    options = {name: value for name, value in files.storage_options.items() if name not in ("asynchronous", "loop")}
    return fsspec.filesystem(protocol, **options)

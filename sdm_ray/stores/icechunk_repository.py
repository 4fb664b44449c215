"""Groups kept in an Icechunk repository: readers see whole versions, and older ones stay.

Where an artefact is versioned, its folder holds no arrays but `repository.json`, which names the repository and the
version. While it is made, its tiles go to a branch of their own, commit by commit; readers of `main` see the version
before. In the end `main` moves to the new one in a single step.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError
from upath import UPath
from zarr.abc.store import Store

from sdm_ray.errors import InputError
from sdm_ray.stores.files import replacing

_POINTER = "repository.json"
_MAIN = "main"
Session = Any  # icechunk's, which is imported only where a repository is used

_open_sessions: dict[str, Session] = {}  # of this process: what is being written, by its artefact


class Pointer(BaseModel):
    """The content of `repository.json`: a branch while the artefact is made, then its version."""

    repository: str
    """A URL, or a path seen from the artefact's folder."""
    branch: str | None = None
    version: str | None = None


def start(place: UPath, repository: UPath, name: str) -> None:
    """Have the groups of an artefact kept in a repository, which is made where there is none; once more, to go on.

    Args:
        place: folder of the artefact.
        repository: path or URL.
        name: of the branch that is written to.

    Raises:
        InputError: Icechunk is not installed, or the place is of a kind that it does not know.
    """
    opened = _open(repository)
    if name not in opened.list_branches():
        before = _read(place).version if is_versioned(place) else None
        opened.create_branch(name, before or opened.lookup_branch(_MAIN))
    local = repository.protocol in ("", "file", "local")
    where = os.path.relpath(repository.path, place.path) if local else str(repository)
    _write(place, Pointer(repository=where, branch=name))


def is_versioned(place: UPath) -> bool:
    """Whether an artefact's groups lie in a repository."""
    return (place / _POINTER).exists()


def find(group: UPath, *, read_only: bool) -> tuple[Store, str] | None:
    """The store of a group and its path in there, where it is an artefact's in a repository; None elsewhere."""
    for place, inner in ((group, ""), (group.parent, group.name)):
        if str(place) in _open_sessions:
            return _open_sessions[str(place)].store, inner
        if is_versioned(place):
            if not read_only:
                raise ValueError(f"{place} is written within `changing` or `writing` alone")
            pointer = _read(place)
            repository = _repository(place, pointer)
            if pointer.version is None:
                return repository.readonly_session(branch=pointer.branch).store, inner
            return repository.readonly_session(snapshot_id=pointer.version).store, inner
    return None


@contextmanager
def changing(place: UPath, message: str) -> Iterator[None]:
    """Commit what this process writes to an artefact; does nothing for one that is not versioned."""
    if not is_versioned(place):
        yield
        return
    session = _writable(place)
    with writing(place, session):
        yield
    if session.has_uncommitted_changes:
        session.commit(message)


def fork(place: UPath) -> Session | None:
    """A session for another process to write with and to give back; None where nothing is versioned."""
    return _writable(place).fork() if is_versioned(place) else None


@contextmanager
def writing(place: UPath, session: Session | None) -> Iterator[None]:
    """Within, this process reads and writes an artefact through a session; without one, as ever."""
    if session is None:
        yield
        return
    _open_sessions[str(place)] = session
    try:
        yield
    finally:
        del _open_sessions[str(place)]


def merge(place: UPath, sessions: Sequence[Session], message: str) -> None:
    """Commit what other processes wrote, each to shards of its own; nothing where there are none."""
    if not sessions:
        return
    session = _writable(place)
    session.merge(*sessions)
    if session.has_uncommitted_changes:
        session.commit(message)


def publish(place: UPath) -> dict[str, str]:
    """Move `main` to what was written; returns the `version`, nothing where nothing is versioned."""
    if not is_versioned(place):
        return {}
    pointer = _read(place)
    if pointer.branch is not None:
        repository = _repository(place, pointer)
        version = str(repository.lookup_branch(pointer.branch))
        repository.reset_branch(_MAIN, version)
        _write(place, Pointer(repository=pointer.repository, version=version))
        repository.delete_branch(pointer.branch)
    return {"version": _read(place).version or ""}


def _writable(place: UPath) -> Session:
    pointer = _read(place)
    if pointer.branch is None:
        raise ValueError(f"{place} is version {pointer.version}, which never changes")
    return _repository(place, pointer).writable_session(pointer.branch)


def _read(place: UPath) -> Pointer:
    try:
        return Pointer.model_validate_json((place / _POINTER).read_bytes())
    except ValidationError:
        raise InputError(
            f"{place / _POINTER}: names no repository; expected repository, and branch or version"
        ) from None


def _write(place: UPath, pointer: Pointer) -> None:
    with replacing(place / _POINTER) as draft:
        draft.write_text(json.dumps(pointer.model_dump(exclude_none=True)))


def _repository(place: UPath, pointer: Pointer) -> Any:  # noqa: ANN401 - icechunk's
    if "://" in pointer.repository:
        return _open(UPath(pointer.repository))
    return _open(UPath(os.path.normpath(os.path.join(place.path, pointer.repository))))


def _open(repository: UPath) -> Any:  # noqa: ANN401 - icechunk's
    try:
        import icechunk
    except ImportError:
        raise InputError(f"{repository}: versions need Icechunk; install sdm-ray with its extra `versions`") from None
    icechunk.set_logs_filter("error")  # a file system is warned of in the documentation of `versions`
    storage = _storage(repository)
    try:
        return icechunk.Repository.open_or_create(storage)
    except icechunk.IcechunkError as error:
        raise InputError(f"{repository}: no Icechunk repository ({str(error).strip().splitlines()[0]})") from None


def _storage(repository: UPath) -> Any:  # noqa: ANN401 - icechunk's
    import icechunk

    bucket, _, prefix = repository.path.partition("/")
    match repository.protocol:
        case "" | "file" | "local":
            return icechunk.local_filesystem_storage(repository.path)
        case "s3" | "s3a":
            address = os.environ.get("AWS_ENDPOINT_URL")  # of servers that are not Amazon's
            plain = bool(address and address.startswith("http://"))
            return icechunk.s3_storage(
                bucket=bucket, prefix=prefix, from_env=True, endpoint_url=address, allow_http=plain,
                force_path_style=address is not None,
            )  # fmt: skip
        case "gs" | "gcs":
            return icechunk.gcs_storage(bucket=bucket, prefix=prefix, from_env=True)
    raise InputError(f"{repository}: expected a local path, s3:// or gs:// for an Icechunk repository")

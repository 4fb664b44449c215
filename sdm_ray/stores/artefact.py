"""What makes an artefact whole: its record, its fingerprint, its seal.

An artefact is a folder (or one Parquet file). The last thing written is its record, `artefact.json`; without a
record it is unfinished. While a folder is being made, `unfinished.json` says what it is made from, so that a rerun
knows whether what lies there can be continued.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.files import is_draft, replacing
from sdm_ray.stores.formats import check_version, format_of
from sdm_ray.version import __version__

_MARKER = "unfinished.json"
_HASH_CONTENT_BELOW = 1 << 24  # of an artefact: larger files are known by their size
_HASH_WHOLE_BELOW = 1 << 28  # larger source files are known by size and time, not by content


class _Version(BaseModel):
    """The keys of every version of a record."""

    kind: str
    format_version: int = 1
    """Of its kind; `seal` writes the one of today."""

    @property
    def outdated(self) -> bool:
        """Whether its version is not read any more, so that the artefact must be made anew."""
        return self.format_version < format_of(self.kind).oldest


class Record(_Version):
    """The record of a finished artefact."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str
    config: dict[str, Any] = {}
    """The part of the configuration that shaped the artefact."""
    inputs: dict[str, str] = {}
    """Name of each artefact read, and its fingerprint."""
    sources: list[str] = []
    """Data sources with their licences, inherited from the inputs."""
    figures: dict[str, Any] = {}
    """What was counted while it was made."""
    tools: dict[str, str] = {}
    """Versions of the tools that made it."""
    files: dict[str, str] = {}
    """What was sealed: name of each file and folder of the artefact -> its content, as `contents` returns it."""


def fingerprint(*parts: object) -> str:
    """A hash of JSON-like parts (configuration, inputs' fingerprints, weights' hashes), 32 hexadecimal digits."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def file_identity(path: UPath) -> list[str | int]:
    """What tells a source file from its next version: its name and content, or size and time when it is large.

    Raises:
        InputError: there is no such file.
    """
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    if stat.st_size >= _HASH_WHOLE_BELOW:
        return [path.name, stat.st_size, int(stat.st_mtime)]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return [path.name, digest.hexdigest()]


def identity(path: UPath) -> list[list[str | int]]:
    """What tells source files from their next version; a shapefile is several files of one name.

    Raises:
        InputError: there is no such file.
    """
    if path.is_dir():
        return folder_identity(path)
    files = sorted(path.parent.glob(f"{path.stem}.*")) if path.suffix == ".shp" else [path]
    return [file_identity(file) for file in files or [path]]


def folder_identity(path: UPath) -> list[list[str | int]]:
    """What tells a folder of source files from its next version: name, size and time of each file below it."""
    found: list[list[str | int]] = []
    for file in sorted(path.rglob("*")):
        if file.is_file():
            stat = file.stat()
            found.append([str(file.relative_to(path)), stat.st_size, int(stat.st_mtime * 1000)])
    return found


def contents(path: UPath, companions: Sequence[str] = ()) -> dict[str, str]:
    """Name -> what tells its content from another, for each file and folder of an artefact.

    Args:
        path: of the artefact.
        companions: names of the files beside a Parquet file that belong to it.
    """
    if path.suffix == ".parquet":
        found = [path, *(path.parent / name for name in companions)]
        return {each.name: _content(each) for each in found if each.exists()}
    return {each.name: _content(each) for each in path.iterdir() if each.name not in (_MARKER, record_path(path).name)}


def changed_files(path: UPath, record: Record) -> list[str]:
    """Names of what is missing or has another content than when the artefact was sealed."""
    places = path.parent if path.suffix == ".parquet" else path
    here = {name: places / name for name in record.files}
    return [name for name, file in here.items() if not file.exists() or _content(file) != record.files[name]]


def made_from(folder: UPath, fingerprint: str) -> list[str]:
    """Names of the finished artefacts of a run folder that were made from the one of a fingerprint."""
    found = []
    for place in [*folder.glob("*/artefact.json"), *folder.glob("*.artefact.json")]:
        try:
            inputs = json.loads(place.read_text()).get("inputs", {})
        except (OSError, ValueError):
            continue
        if fingerprint in inputs.values():
            inside = place.name == record_path(place.parent).name
            found.append(place.parent.name if inside else place.name.removesuffix(".artefact.json"))
    return sorted(found)


def disagreements(records: Mapping[str, Record]) -> list[str]:
    """What artefacts that are used together were made with and is another by now, a sentence each.

    Args:
        records: of the artefacts, by the names that a configuration gives them.
    """
    return [
        f"{name} was made with another {used} than the one that is read now"
        for name, record in records.items()
        for used, before in record.inputs.items()
        if used in records and records[used].fingerprint != before
    ]


def _content(path: UPath) -> str:
    """A hash of a small file, the size of a large one, the number and size of the files in a folder."""
    if path.is_dir():
        found = path.fs.find(path.path, detail=True)
        sizes = [each["size"] for name, each in found.items() if not is_draft(name)]
        return f"{len(sizes)} files, {sum(sizes)} bytes"
    size = path.stat().st_size
    return fingerprint(file_identity(path)) if size < _HASH_CONTENT_BELOW else f"{size} bytes"


def tool_versions(*packages: str) -> dict[str, str]:
    """Installed versions of packages, with our own."""
    return {"sdm-ray": __version__} | {name: metadata.version(name) for name in packages}


def record_path(path: UPath) -> UPath:
    """Where an artefact's record lies: inside a folder, beside a file."""
    if path.suffix == ".parquet":
        return path.parent / f"{path.name}.artefact.json"
    return path / "artefact.json"


def find_record(path: UPath, *, outdated: bool = False) -> Record | None:
    """The record of an artefact, or None where it is missing or unfinished.

    Args:
        path: of the artefact.
        outdated: whether a version that is not read any more is found as well, by who makes the artefact anew.

    Raises:
        InputError: there is a record that cannot be read, or one of a version that is not read.
    """
    place = record_path(path)
    try:
        text = place.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        version = _Version.model_validate_json(text)  # first: a record of another version may have other keys
        if not (outdated and version.outdated):
            check_version(place, version.kind, version.format_version, format_of(version.kind))
        return Record.model_validate_json(text)
    except ValidationError:
        raise InputError(f"{place}: is no artefact record; remove it and run the job again") from None


def read_record(path: UPath) -> Record:
    """The record of a finished artefact.

    Raises:
        InputError: the artefact is missing or unfinished.
    """
    record = find_record(path)
    if record is None:
        state = "unfinished (no artefact.json)" if path.exists() else "missing"
        raise InputError(f"{path}: {state}; run the job that writes it first")
    return record


class Beginning(BaseModel):
    """What an unfinished artefact is made from."""

    fingerprint: str
    format_version: int = 1
    """Of its kind; what another version began is not continued."""
    config: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    run: str | None = None
    """Of MLflow, which the attempt that continues this one continues as well."""


def find_beginning(path: UPath) -> Beginning | None:
    """What an interrupted attempt was making there, or None where there is none."""
    try:
        return Beginning.model_validate_json((path / _MARKER).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError:
        raise InputError(f"{path / _MARKER}: cannot be read; remove {path} and run the job again") from None


def mark(beginning: Beginning) -> tuple[str, int]:
    """What two attempts at one artefact have in common, so that the second continues the first."""
    return beginning.fingerprint, beginning.format_version


def has_begun(path: UPath) -> bool:
    """Whether an interrupted attempt got as far as to write something."""
    return any(each.name != _MARKER for each in path.iterdir())


def begin(path: UPath, beginning: Beginning) -> bool:
    """Make a place ready for an artefact.

    The seal of an older artefact is taken off first. What an earlier, interrupted attempt for the same
    fingerprint and format version left is kept; anything else there is removed.

    Returns:
        Whether there is something to continue.
    """
    record_path(path).unlink(missing_ok=True)
    if path.suffix == ".parquet":
        return False
    before = find_beginning(path)
    if before is not None and mark(before) == mark(beginning):
        if before.run != beginning.run:
            (path / _MARKER).write_text(beginning.model_dump_json(indent=1))
        return True
    if path.exists():
        path.fs.rm(path.path, recursive=True)
    path.mkdir(parents=True, exist_ok=True)
    (path / _MARKER).write_text(beginning.model_dump_json(indent=1))
    return False


def write_sources(folder: UPath, sources: Sequence[str]) -> None:
    """Write `sources.txt`, one source with its licence a line, beside files that are passed on without their record."""
    (folder / "sources.txt").write_text("".join(f"{each}\n" for each in sources))


def seal(path: UPath, record: Record) -> None:
    """Write the record, of today's version of its kind: from here on the artefact is whole."""
    record = record.model_copy(update={"format_version": format_of(record.kind).version})
    place = record_path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as draft:
        draft.write_text(record.model_dump_json(indent=1))
    if path.suffix != ".parquet":
        (path / _MARKER).unlink(missing_ok=True)


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the values in which two configurations differ."""
    names: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            names += changed_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            names.append(f"{prefix}{key}")
    return names

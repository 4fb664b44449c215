"""Strict YAML to typed job configurations.

A job is configured by one YAML file. Unknown keys, wrong types and missing values are one-line errors that name
the file and the key. This module imports nothing heavy, so that a mistake is found before torch or Ray load.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.input_paths import relative_to

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_OLD_KEYS: ContextVar[dict[str, str] | None] = ContextVar("old keys of the file being read", default=None)


def renamed(values: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any YAML value
    """Values under their names of today, for keys that a former release called otherwise.

    Args:
        values: a mapping; anything else is returned as it is.
        names: old key -> key of today.

    Raises:
        ValueError: a value is given under both names.
    """
    if not isinstance(values, dict) or not names.keys() & values.keys():
        return values
    found = dict(values)
    for old, new in names.items():
        if old in found:
            if new in found:
                raise ValueError(f"{old}: is the old name of {new}, which is given as well; expected {new} alone")
            found[new] = found.pop(old)
            note_old_key(old, new)
    return found


def note_old_key(old: str, new: str) -> None:
    """Have the file that is being read say, once, that a key has another name today."""
    noted = _OLD_KEYS.get()
    if noted is not None:
        noted[old] = new


class Config(BaseModel):
    """Base of every configuration class: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    old_keys: ClassVar[Mapping[str, str]] = {}
    """Key of a former release -> its name today; read for one release."""

    @model_validator(mode="before")
    @classmethod
    def _read_old_keys(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        return renamed(values, cls.old_keys)


class TrackingConfig(Config):
    """Where MLflow keeps its runs."""

    uri: str = Field(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"))
    """Any MLflow tracking URI; by default `$MLFLOW_TRACKING_URI`, else a file in the working folder."""
    experiment: str | None = None
    """Experiment name; by default the name of the run folder."""


class JobConfig(Config):
    """What every job has: a run folder, an output artefact in it, a seed and tracking."""

    run_dir: str = Field(default="", validate_default=False)
    """Folder or URL of the run's artefacts; by default `$SDM_RAY_RUNS/<name of the configuration's folder>`."""
    output: str = ""
    """Name of the artefact that the job writes, inside `run_dir`."""
    seed: int = 0
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)  # the environment at the time of the job

    def path(self, name: str) -> UPath:
        """The place of an artefact: absolute paths and URLs as they are, names inside the run folder."""
        name = os.path.expanduser(name)
        return UPath(name) if "://" in name or os.path.isabs(name) else local_absolute(UPath(self.run_dir) / name)

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return []

    def reads_files(self) -> list[str]:
        """Files that the job reads and that are no artefacts, such as published weights; told apart by content."""
        return []

    def stated_sources(self) -> list[str]:
        """Sources and licences of files that are no artefacts, as the configuration states them."""
        return []

    def writes(self) -> list[str]:
        """Names of the artefacts that the job writes."""
        return [self.output]


class TaskConfig(Config):
    """What parts of a job may use of the machine or cluster; changes no result, so it is no part of a fingerprint."""

    workers: int = Field(default=0, ge=0)
    """Parts under way at once; 0: as many as the cluster's nodes have room for, at any time."""
    cpus: float = Field(default=1, gt=0)
    """CPUs of one worker; whole numbers are also its torch threads."""
    gpus: float = Field(default=0, ge=0)
    """GPUs of one worker; a fraction lets several share one."""
    reserve_mb: float = Field(default=0, ge=0)
    """Megabytes of memory that Ray sets aside for one worker, so that no node is given more of them than fit."""


AnyConfig = TypeVar("AnyConfig", bound=JobConfig)


def local_absolute(place: UPath) -> UPath:
    """A local place that does not depend on the working folder, since workers run in others; URLs as they are."""
    return place.absolute() if place.protocol in ("", "file", "local") else place


def default_run_dir(config_file: Path) -> str:
    """`$SDM_RAY_RUNS/<folder's name>` for a configuration file."""
    runs = os.environ.get("SDM_RAY_RUNS", "runs")
    return f"{runs.rstrip('/')}/{config_file.resolve().parent.name}"  # a URL, too: `Path` would take one of its slashes


def require_kept(place: str, variable: str) -> None:
    """Refuse a relative place in a job that Ray runs in a copy of the submitted folder, which it removes.

    Args:
        place: a local path or a URL.
        variable: the environment variable that names a better one.

    Raises:
        InputError: what is written there would be lost.
    """
    if "://" not in place and not os.path.isabs(place) and "working_dir_files" in Path.cwd().parts:
        raise InputError(
            f"{place}: lies in Ray's copy of the submitted folder and would be lost with it; set {variable} to a "
            "place that every node sees, before `ray start` or in the job's runtime environment"
        )


def load(
    path: str | Path, kind: type[AnyConfig], overrides: Sequence[str] = (), run_dir: str | None = None
) -> AnyConfig:
    """Read a job's YAML file into its configuration class.

    Relative paths of input files are looked for next to the YAML file, then in the working folder.

    Args:
        path: the YAML file.
        kind: the job's configuration class.
        overrides: `key=value` or `key.inner=value` strings; a value is read as YAML.
        run_dir: the run folder as it is written, whatever YAML would make of it; None for that of the file.

    Raises:
        InputError: the file is missing or is no YAML mapping, a key is unknown, a value has the wrong type, a
            variable `${NAME}` in a string is not set, or the run folder would be lost.
    """
    path = Path(path)
    values = _read_mapping(path)
    values.setdefault("run_dir", default_run_dir(path))
    for override in overrides:
        _apply(values, override)
    if run_dir is not None:
        values["run_dir"] = run_dir
    values = _expand(values, path, key="")
    old: dict[str, str] = {}
    token = _OLD_KEYS.set(old)
    try:
        with relative_to(path.resolve().parent):
            config = kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from None
    finally:
        _OLD_KEYS.reset(token)
    for name, now in old.items():
        print(f"{path}: `{name}` is now called `{now}`; the old name is read for one release", file=sys.stderr)
    place = os.path.expanduser(config.run_dir)
    require_kept(place, "SDM_RAY_RUNS")
    return config.model_copy(update={"run_dir": str(local_absolute(UPath(place)))})


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a configuration file ({error})") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}:{where} is not YAML ({getattr(error, 'problem', error)})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}")
    return values


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r}: expected key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"override {override!r}: the value is not YAML") from None
    *outer, last = key.split(".")
    place: Any = values
    for name in outer:
        place = place[_index(place, name, override)] if isinstance(place, list) else place.setdefault(name, {})
        if not isinstance(place, dict | list):
            raise InputError(f"override {override!r}: {name!r} holds a single value, not keys")
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    else:
        place[last] = value


def _index(place: list[Any], name: str, override: str) -> int:
    if not name.isdigit() or int(name) >= len(place):
        raise InputError(f"override {override!r}: {name!r} is no position in a list of {len(place)}")
    return int(name)


def _expand(value: Any, path: Path, key: str) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, dict):
        return {name: _expand(inner, path, f"{key}.{name}".lstrip(".")) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, path, f"{key}.{i}") for i, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise InputError(f"{path}: {key}: the environment variable {match[1]} is not set")
        return found

    return _VARIABLE.sub(variable, value)


def _key(place: tuple[int | str, ...]) -> str:
    """A dotted key, without the names of validators and classes that stand in an error's place beside the keys."""
    return ".".join(str(part) for part in place if not re.search(r"[\[(]", str(part)))


def _first_problem(error: ValidationError) -> str:
    problems = error.errors()
    unknown = [each for each in problems if each["type"] in ("extra_forbidden", "unexpected_keyword_argument")]
    first = (unknown or problems)[0]  # a mistyped key explains the missing one
    key = _key(first["loc"]) or "(the whole file)"
    if len(unknown) > 1:
        return ", ".join(_key(each["loc"]) for each in unknown) + ": unknown keys"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if unknown:
        return f"{key}: unknown key{more}"
    if first["type"] == "missing":
        return f"{key}: missing{more}"
    found = first.get("input")
    shown = "" if isinstance(found, dict | list) else f", found {found!r}"
    return f"{key}: {first['msg'].removeprefix('Value error, ')}{shown}{more}"

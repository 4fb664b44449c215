"""Paths of input files in a configuration: relative to its YAML file first, then to the working folder.

Only inputs are looked for in two places. What a job writes lies in its run folder, wherever its YAML file is.
"""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

_FOLDER: ContextVar[Path | None] = ContextVar("folder of the YAML file being read", default=None)


@contextmanager
def relative_to(folder: Path) -> Iterator[None]:
    """While a configuration is built: the folder of its YAML file."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def resolved(path: str) -> str:
    """Where an input file is: `~` is the home folder, and what lies next to the YAML file is named in full.

    Args:
        path: as it is written; a pattern such as `climate/*.tif` is there where a file matches it. URLs, absolute
            paths and what is in neither place are returned as they are.
    """
    path = os.path.expanduser(path)
    folder = _FOLDER.get()
    if folder is None or not _is_relative(path):
        return path
    beside = str(folder / path)
    return beside if _exists(beside) else path


def not_found(path: str) -> str | None:
    """Where a relative path was looked for, if it is in neither place; None outside `relative_to`."""
    folder = _FOLDER.get()
    if folder is None or not _is_relative(path) or _exists(path):
        return None
    return f"no such file in {folder} (the folder of the YAML file) or in {Path.cwd()} (the working folder)"


def existing(path: str) -> str:
    """`resolved`, and refuse a relative path that is in neither place.

    Raises:
        ValueError: it names both places.
    """
    found = resolved(path)
    problem = not_found(found)
    if problem is not None:
        raise ValueError(problem)
    return found


InputPath = Annotated[str, AfterValidator(existing)]
"""A file or folder that a job reads; while a YAML file is read, a relative path that is in neither place is refused."""

FetchedPath = Annotated[str, AfterValidator(resolved)]
"""The same of a file that may be downloaded where it is missing; its source refuses it if it names no address."""


def _is_relative(path: str) -> bool:
    return "://" not in path and not os.path.isabs(path)


def _exists(path: str) -> bool:
    return os.path.exists(path) or (glob.has_magic(path) and any(glob.iglob(path, recursive=True)))

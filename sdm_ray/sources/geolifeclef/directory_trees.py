"""Files known by a number, as the challenges lay them out: `CD/AB/{id}.jpeg` for an id that ends in `ABCD`, or flat.

Publishers nest these trees under folders of changing names and spellings (`PA_Train_SatellitePatches_RGB/
pa_train_patches_rgb`, `SatelitePatches/PA-test`), so a tree is found by what lies in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from upath import UPath

from sdm_ray.errors import InputError

_LOOK = 100  # files of a tree that are looked at to see what it holds
_DEPTH = 6  # folders between the one that is named and a tree
Entries = list[tuple[str, bool]]  # names, and whether each is a folder
_DIGITS = re.compile(r"\d{1,2}")


@dataclass(frozen=True)
class Tree:
    """Files `{before}{id}{after}` under a folder.

    Attributes:
        folder: path or URL.
        before: what file names begin with.
        after: what file names end with.
        nested: whether they lie in `CD/AB/`.
    """

    folder: str
    before: str
    after: str
    nested: bool

    def paths(self, key: str) -> list[str]:
        """Where a file may lie, relative to the folder.

        Short ids are found unpadded (`1` in `1/`, `212` in `12/2/`) and padded with zeros (`212` in `12/02/`).
        """
        name = f"{self.before}{key}{self.after}"
        if not self.nested:
            return [name]
        folders = ([part for part in (each[-2:], each[-4:-2]) if part] for each in (key, key.zfill(4)))
        return list(dict.fromkeys("/".join([*parts, name]) for parts in folders))

    def read(self, key: str) -> bytes:
        """The file of an id.

        Raises:
            FileNotFoundError: there is none.
        """
        for path in self.paths(key):
            try:
                return (UPath(self.folder) / path).read_bytes()
            except FileNotFoundError:
                continue
        raise FileNotFoundError(f"{self.folder}: nothing for {key}")

    def some(self) -> Iterator[UPath]:
        """A few of its files."""
        root = UPath(self.folder)
        found = _files(root) if self.nested else ((root, name) for name, _ in _listed(root))
        own = (place / name for place, name in found if name.startswith(self.before) and name.endswith(self.after))
        yield from islice(own, 10)


def find_trees(folder: str, names: str) -> list[Tree]:
    """Trees of files at or under a folder.

    Args:
        folder: the tree itself or any folder above it.
        names: regular expression of what follows the id in a file's name, such as `[.]jpe?g`.

    Raises:
        InputError: there is no such folder.
    """
    pattern = re.compile(rf"(.*?)(\d+)({names})", re.IGNORECASE)
    trees: list[Tree] = []
    for place, entries in _folders(folder):
        nested = any(is_folder and _DIGITS.fullmatch(name) for name, is_folder in entries)
        inside = (
            islice(_files(place), _LOOK) if nested else ((place, name) for name, is_folder in entries if not is_folder)
        )
        matches = [match for match in (pattern.fullmatch(name) for _, name in inside) if match]
        kinds = sorted({(match[1], match[3]) for match in matches})
        trees += (Tree(str(place), *kind, nested) for kind in kinds)
    return trees


def find_files(folder: str, names: str) -> list[tuple[str, re.Match[str]]]:
    """Files at or under a folder whose names match, but for those of trees.

    Raises:
        InputError: there is no such folder.
    """
    pattern = re.compile(names, re.IGNORECASE)
    matches = (
        (str(place / name), pattern.fullmatch(name)) for place, entries in _folders(folder) for name, _ in entries
    )
    return [(path, match) for path, match in matches if match]


def _folders(folder: str) -> Iterator[tuple[UPath, Entries]]:
    """A folder and those below in the order of their names, with what they hold; folders of digits are not entered."""
    root = UPath(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: no such folder")
    waiting = [(root, _DEPTH)]
    while waiting:
        place, depth = waiting.pop()
        entries = _listed(place)
        yield place, entries
        below = [name for name, is_folder in entries if is_folder and not _DIGITS.fullmatch(name)]
        waiting += [(place / name, depth - 1) for name in sorted(below, reverse=True) if depth]


def _files(place: UPath) -> Iterator[tuple[UPath, str]]:
    """Files of a tree, folder by folder as they are asked for."""
    entries = sorted(_listed(place))
    yield from ((place, name) for name, is_folder in entries if not is_folder)
    for name, is_folder in entries:
        if is_folder and _DIGITS.fullmatch(name):
            yield from _files(place / name)


def _listed(place: UPath) -> Entries:
    """Names in a folder, and whether each is a folder or a link to one."""
    found: list[dict[str, Any]] = place.fs.ls(place.path, detail=True)
    return [
        (each["name"].rstrip("/").rsplit("/", 1)[-1], each["type"] == "directory" or _links_to_folder(place, each))
        for each in found
    ]


def _links_to_folder(place: UPath, entry: dict[str, Any]) -> bool:
    return bool(entry.get("islink")) and place.fs.isdir(entry["name"])

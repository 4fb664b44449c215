"""Names of LUCAS photos in the forms of the different distributions, and access to the files.

The plain form, which the lists of this module hold, is `{year}/{nuts0}/{id[:3]}/{id[3:6]}/{id}{view}.jpg`, and since
2022 `{year}/{nuts0}/{id[:3]}/{id[3:6]}/2022{id}LCLU_{View}.jpg`. Photos that are not at their plain name are looked
for in a folder of the survey (`LUCAS2018/UK/...`), and covers and those of 2022, whose names say the survey, under
their own name (`LUCAS2015_{id}_Cover.jpg`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
from upath import UPath

from sdm_ray.readers.tables import read_table, texts, whole_texts
from sdm_ray.sources.base import FolderFiles, Report

VIEWS = {"N": "North", "E": "East", "S": "South", "W": "West", "P": "Point", "C": "Cover"}
_LETTERS = {name: letter for letter, name in VIEWS.items()}
_LONG_NAMES = "2022"  # the survey whose photos are named LCLU_North and so on
_ROOT = re.compile(r"^.*?photos/(?:LUCAS(?=\d{4}/))?")  # of a list of paths or URLs
_FORMS = (
    re.compile(r"(?:^|/)(?:LUCAS)?(?P<year>\d{4})/[A-Z]{2}/\d{3}/\d{3}/(?P<point>\d{8})(?P<view>[NESWPC])\.jpg$"),
    re.compile(r"(?:^|/)(?P<year>2022)(?P<point>\d{8})LCLU_(?P<view>North|East|South|West|Point|Cover)\.jpg$"),
    re.compile(r"(?:^|/)LUCAS(?P<year>\d{4})_(?P<point>\d{8})_(?P<view>Cover)\.jpg$"),
)


@dataclass(frozen=True)
class LucasFiles:
    """Photos under a folder by their plain names; picklable."""

    path: str

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """A function from a plain name to the bytes of the first file found under any of its names."""
        with FolderFiles(self.path).opened() as read:

            def first(name: str) -> bytes:
                for each in other_names(name):
                    try:
                        return read(each)
                    except FileNotFoundError:
                        continue
                raise FileNotFoundError(name)

            yield first


def plain_names(year: pd.Series, nuts0: pd.Series, point: pd.Series, view: str) -> pd.Series:
    """The plain name of a view of each point; all columns are text."""
    names = (point + view).where(year != _LONG_NAMES, year + point + "LCLU_" + VIEWS[view])
    return year + "/" + nuts0 + "/" + point.str[:3] + "/" + point.str[3:6] + "/" + names + ".jpg"


def other_names(name: str) -> list[str]:
    """The file names that a photo of this plain name may have, the plain one first."""
    names = [name, f"LUCAS{name}"]
    said = parsed(name)
    folder, _, own = name.rpartition("/")
    if said and said[2] == "C":
        cover = f"LUCAS{said[0]}_{said[1]}_Cover.jpg"
        names += [f"{folder}/{cover}", cover]
    if own.startswith(_LONG_NAMES) and "LCLU_" in own:
        names.append(own)
    return names


def parsed(path: str) -> tuple[str, str, str] | None:
    """Survey, point and letter of the view that a path names, or None where it names no view of a point."""
    for form in _FORMS:
        found = form.search(path)
        if found:
            year, point, view = found["year"], found["point"], found["view"]
            return year, point, _LETTERS.get(view, view)
    return None


def below_photos(paths: pd.Series) -> pd.Series:
    """What follows `photos/` or `lucas_photos/LUCAS` in paths or URLs."""
    return paths.str.replace(_ROOT, "", regex=True)


def listed_photos(table: str, views: str, report: Report) -> pd.DataFrame:
    """The photos of a list `lucas_id, url`: columns `year, point, view, file`, sorted, one row each.

    Raises:
        InputError: the table cannot be read or lacks a column.
    """
    rows = read_table(table, ["lucas_id", "url"])
    paths = below_photos(texts(rows["url"]).fillna("").astype(str))
    photos = _photos(paths, views)
    report.drop("path_of_no_photo", paths[[parsed(path) is None for path in paths]])
    other = photos["point"] != whole_texts(rows["lucas_id"]).loc[photos.index]
    report.drop("path_of_another_point", photos["file"][other])
    return photos[~other].drop_duplicates(["year", "point", "view"]).reset_index(drop=True)


def photos_in(folder: str, views: str) -> pd.DataFrame:
    """The photos in a folder: columns `year, point, view, file`, sorted, one row each."""
    root = UPath(folder)
    paths = sorted(each.path[len(root.path) :].lstrip("/") for each in root.rglob("*.jpg"))
    return _photos(pd.Series(paths, dtype=object), views).drop_duplicates(["year", "point", "view"], ignore_index=True)


def _photos(paths: Iterable[str], views: str) -> pd.DataFrame:
    said = {row: (*parts, path) for row, path in enumerate(paths) if (parts := parsed(path)) and parts[2] in views}
    table = pd.DataFrame.from_dict(said, orient="index", columns=["year", "point", "view", "file"], dtype=object)
    return table.sort_values(["year", "point", "view", "file"])

"""What every source yields, and the report of what it could not use."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.checks import check_lonlat
from sdm_ray.geo.grid import Grid
from sdm_ray.readers.polygons import inside, outline
from sdm_ray.readers.safe_zip import escapes, open_zip
from sdm_ray.sources.entry import PointSource
from sdm_ray.stores.embedding_sources import EmbeddingSource
from sdm_ray.stores.series import SeriesSpec
from sdm_ray.stores.surveys import ProbabilityKind

_MOST_KEYS = 10_000  # of one kind, in a report
_KEPT_KINDS = ("whole_degrees",)  # suspicious, but a place all the same
_EXPECTED = {
    "metres": "expected degrees; name the projection of coordinates in metres as `crs`",
    "not_degrees": "expected longitudes from -180 to 180 and latitudes from -90 to 90",
    "not_in_crs": "expected coordinates within `crs`",
    "outside": "expected within `region`",
    "swapped": "expected longitude and latitude in their own columns",
}
"""Kind of fault -> what is right, for a message."""


@dataclass
class Report:
    """What a source could not use, by kind and key.

    Attributes:
        name: of the file.
        rows: how many rows or images there were.
        dropped: kind of fault -> keys of what was left out.
        noted: kind -> keys of what was kept all the same.
        left: kind -> keys of what is right but was not asked for; it does not count towards `max_dropped`.
        facts: further figures.
    """

    name: str
    rows: int
    dropped: dict[str, list[str]] = field(default_factory=dict)
    noted: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def drop(self, kind: str, keys: Iterable[object]) -> None:
        """Record rows that cannot be used."""
        _extend(self.dropped, kind, keys)

    def note(self, kind: str, keys: Iterable[object]) -> None:
        """Record rows that are kept although something is odd."""
        _extend(self.noted, kind, keys)

    def leave(self, kind: str, keys: Iterable[object]) -> None:
        """Record rows that are right but were not asked for."""
        _extend(self.left, kind, keys)

    @property
    def lost(self) -> int:
        """How many cannot be used."""
        return sum(map(len, self.dropped.values()))

    def check(self, max_dropped: float) -> None:
        """Refuse a source of which more than the stated share cannot be used.

        Raises:
            InputError: naming the most frequent fault and its first key.
        """
        if self.lost > max_dropped * self.rows:
            kinds = sorted(self.dropped.items(), key=lambda item: -len(item[1]))
            counts = ", ".join(f"{len(keys)} {kind}" for kind, keys in kinds)
            expected = _EXPECTED.get(kinds[0][0])
            raise InputError(
                f"{self.name}: {self.lost} of {self.rows} rows cannot be used, more than max_dropped {max_dropped:g}: "
                f"{counts}; first {kinds[0][1][0]}" + (f"; {expected}" if expected else "")
            )

    def figures(self) -> dict[str, Any]:
        """Counts for the artefact's record."""
        counts = {f"dropped_{kind}": len(keys) for kind, keys in self.dropped.items()}
        counts |= {f"noted_{kind}": len(keys) for kind, keys in self.noted.items()}
        counts |= {f"left_{kind}": len(keys) for kind, keys in self.left.items()}
        return {"rows": self.rows, "dropped": self.lost, **counts, **self.facts}

    def as_json(self) -> dict[str, Any]:
        """Counts with keys, at most 10,000 of a kind."""
        return {
            "source": self.name,
            **self.figures(),
            "dropped_keys": {kind: keys[:_MOST_KEYS] for kind, keys in self.dropped.items()},
            "noted_keys": {kind: keys[:_MOST_KEYS] for kind, keys in self.noted.items()},
            "left_keys": {kind: keys[:_MOST_KEYS] for kind, keys in self.left.items()},
        }

    @classmethod
    def from_json(cls, path: UPath) -> "Report":
        """The first report of a file that `write_reports` wrote."""
        found = json.loads(path.read_text())[0]
        facts = {key: value for key, value in found.items() if key not in ("source", "rows", "dropped")}
        dropped, noted, left = (facts.pop(f"{kind}_keys") for kind in ("dropped", "noted", "left"))
        facts = {key: value for key, value in facts.items() if not key.startswith(("dropped_", "noted_", "left_"))}
        return cls(found["source"], found["rows"], dropped, noted, left, facts)


def write_reports(path: UPath, reports: list[Report]) -> None:
    """Write the reports of an artefact's sources."""
    path.write_text(json.dumps([report.as_json() for report in reports], indent=1))


@dataclass(frozen=True)
class SurveyTables:
    """Surveys and species as `stores.surveys` takes them."""

    surveys: pd.DataFrame
    species: pd.DataFrame
    kind: ProbabilityKind
    report: Report
    embeddings: tuple[EmbeddingSource, ...] = ()


@dataclass(frozen=True)
class LayerTable:
    """Covariates: names and values (C, height, width) on a grid, NaN where unknown, and what embeddings they hold."""

    grid: Grid
    names: list[str]
    values: NDArray[np.float32]
    effective_resolution_m: float
    embeddings: tuple[EmbeddingSource, ...] = ()


@dataclass(frozen=True)
class LandTable:
    """Land (height, width), number of the country (0 is none) and the names of countries 1, 2, ..."""

    grid: Grid
    land: NDArray[np.bool_]
    country: NDArray[np.int16]
    names: list[str]


class Opener(Protocol):
    """Picklable access to image files; a task opens its own handles."""

    def opened(self) -> AbstractContextManager[Callable[[str], bytes]]:
        """A function from a file's name to its bytes; raises KeyError or OSError where there is none."""
        ...


@dataclass(frozen=True)
class ImageList:
    """Images to be packed: `key, ext, scale, lon, lat, place_id, date, file`, and access to the files.

    Images of surveys have `survey_id` and `survey_kind` too (see `stores.shards.Sample`).
    """

    rows: pd.DataFrame
    opener: Opener
    report: Report


class SeriesReader(Protocol):
    """Picklable access to time series."""

    @property
    def specs(self) -> dict[str, SeriesSpec]:
        """The series that it has, by name."""
        ...

    def read(self, name: str, key: str) -> NDArray[np.float32]:
        """A series by its name and key; raises KeyError or FileNotFoundError where there is none, else ValueError."""
        ...


@dataclass(frozen=True)
class SeriesList:
    """Time series to be packed: `survey_id, key`, and access to them."""

    rows: pd.DataFrame
    reader: SeriesReader
    report: Report


@dataclass(frozen=True)
class ZipFiles:
    """Files inside a zip."""

    path: str

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """Open the zip once."""
        with open_zip(UPath(self.path)) as archive:
            yield archive.read


@dataclass(frozen=True)
class FolderFiles:
    """Files under a folder."""

    path: str

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """Each file is opened when it is read."""
        root = UPath(self.path)

        def read(name: str) -> bytes:
            if escapes(name):
                raise ValueError("leads outside of the folder")
            return (root / name).read_bytes()

        yield read


def place_id(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """A number for each place, the same in every source: coordinates rounded to 0.0001 degrees (11 m or less)."""
    east = np.rint((np.asarray(lon) + 180) * 1e4).astype(np.int64)
    north = np.rint((np.asarray(lat) + 90) * 1e4).astype(np.int64)
    return east << 32 | north


def usable_places(places: pd.DataFrame, keys: pd.Series, source: PointSource, report: Report) -> NDArray[np.bool_]:
    """Which rows have plausible coordinates and are asked for; the others go into the report by kind.

    Args:
        places: columns `lon`, `lat`, degrees, and perhaps `uncertainty_m`.
        keys: what to call each row.
        source: states the region of the points, the polygons around them and their largest uncertainty.
        report: takes what is found.

    Returns:
        (N,), true where a row is taken.

    Raises:
        InputError: no row is left, or the polygons cannot be read.
    """
    usable = np.ones(len(places), bool)
    lon, lat = places["lon"].to_numpy(np.float64), places["lat"].to_numpy(np.float64)
    for kind, rows in check_lonlat(lon, lat, source.region).items():
        if kind in _KEPT_KINDS:
            report.note(kind, keys.iloc[rows])
            continue
        usable[rows] = False
        report.drop(kind, [f"{keys.iloc[row]} (lon {lon[row]:g}, lat {lat[row]:g})" for row in rows])
    if len(usable) and not usable.any():
        report.check(0.0)  # reports why, before something else fails for lack of rows
    if source.max_uncertainty_m is not None and "uncertainty_m" in places:
        uncertain = (places["uncertainty_m"] > source.max_uncertainty_m).to_numpy(bool)
        what = f"max_uncertainty_m {source.max_uncertainty_m:g}"
        usable = _only(usable, ~uncertain, keys, report, ("uncertain", f"has an uncertainty within {what}"))
    if source.within is not None:
        there = inside(outline(source.within), lon, lat)
        usable = _only(usable, there, keys, report, ("not_within", f"lies within {source.within}"))
    return usable


def _only(
    usable: NDArray[np.bool_], asked: NDArray[np.bool_], keys: pd.Series, report: Report, kind: tuple[str, str]
) -> NDArray[np.bool_]:
    """The usable rows that are asked for; `kind` names the others in the report, and says it of all in a refusal."""
    name, condition = kind
    report.leave(name, keys[usable & ~asked])
    if len(usable) and not (usable & asked).any():
        raise InputError(f"{report.name}: no point {condition}")
    return usable & asked


def _extend(kinds: dict[str, list[str]], kind: str, keys: Iterable[object]) -> None:
    found = [str(key) for key in keys]
    if found:
        kinds.setdefault(kind, []).extend(found)

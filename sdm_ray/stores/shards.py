"""Image shards: WebDataset tar files with an index that makes every image one ranged read.

`shard-00000.tar` holds `{key}.jpg|png|npy` and `{key}.json`; `index.parquet` has one row per image: `key, shard,
offset, size, ext, scale, lon, lat, place_id, date, survey_id, survey_kind`. The same samples give the same bytes.

Shards of format version 1 have no columns for surveys; there the keys of the sources tell them.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.files import first_line, read_parquet, replacing

_INDEX = "index.parquet"
GAP_BYTES = 1 << 20  # that are read for nothing rather than by another request
_REQUEST_BYTES = 16 << 20  # of one request: more of them go side by side
_COLUMNS = ("key", "shard", "offset", "size", "ext", "scale", "lon", "lat", "place_id", "date")


@dataclass(frozen=True)
class Sample:
    """One image and where it was taken.

    Attributes:
        key: unique in the shards; no dots, which end a key in WebDataset.
        ext: `jpg`, `png` or `npy`.
        image: the file's bytes.
        scale: `plant`, `landscape` or `satellite`.
        lon: WGS84 degrees.
        lat: WGS84 degrees.
        place_id: images with one id show one place.
        date: ISO date, or "" where unknown.
        survey_id: the survey that the image belongs to, "" for none; `129117-*` stands for every visit of a place,
            `129117-<year>-<day of the year>`.
        survey_kind: `occurrence` for surveys of presence and absence, `relative` for presence-only records, whose ids
            may be the same; "" for either.
    """

    key: str
    ext: str
    image: bytes
    scale: str
    lon: float
    lat: float
    place_id: int
    date: str = ""
    survey_id: str = ""
    survey_kind: str = ""


def write_shard(folder: UPath, number: int, samples: Iterable[Sample]) -> pd.DataFrame:
    """Write one shard under a temporary name, move it into place and return its rows of the index.

    Raises:
        ValueError: a key holds a dot.
    """
    rows = []
    with (
        replacing(folder / f"shard-{number:05d}.tar") as draft,
        draft.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for sample in samples:
            if "." in sample.key:
                raise ValueError(f"key {sample.key!r} holds a dot")
            about = asdict(sample)
            image = about.pop("image")
            offset = tar.offset + tarfile.BLOCKSIZE  # a member's data begin behind its header block
            _add(tar, f"{sample.key}.{sample.ext}", image)
            _add(tar, f"{sample.key}.json", json.dumps(about, sort_keys=True).encode())
            rows.append({**about, "shard": number, "offset": offset, "size": len(image)})
    return pd.DataFrame(rows)


def write_index(folder: UPath, parts: Sequence[pd.DataFrame]) -> None:
    """Write the index of all shards.

    Raises:
        InputError: there is no image, or two have one key.
    """
    index = pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else None
    if index is None:
        raise InputError(f"{folder}: no image could be used")
    twice = index["key"].duplicated()
    if twice.any():
        raise InputError(f"{folder}: two images have the key {index['key'][twice].iloc[0]}")
    with replacing(folder / _INDEX) as draft, draft.open("wb") as file:
        index.to_parquet(file, index=False)


class Shards:
    """Image shards for reading.

    Attributes:
        index: one row per image, of all scales.
    """

    def __init__(self, folder: UPath) -> None:
        self.folder = folder

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row per image, of all scales.

        Raises:
            InputError: there is no index.
        """
        if not (self.folder / _INDEX).exists():
            raise InputError(f"{self.folder}: has no {_INDEX}; expected image shards")
        found: pd.DataFrame = read_parquet(self.folder / _INDEX).to_pandas()
        if missing := [name for name in _COLUMNS if name not in found]:
            raise InputError(f"{self.folder / _INDEX}: has no column {missing[0]}; expected image shards")
        return found if "survey_id" in found else found.assign(**_surveys_of_keys(found["key"]))

    @cached_property
    def _places(self) -> list[NDArray[np.int64]]:
        """Shard, offset and size of every image: taking columns from a table costs more than reading some images."""
        return [self.index[name].to_numpy() for name in ("shard", "offset", "size")]

    @cached_property
    def _extensions(self) -> tuple[NDArray[np.int64], list[str]]:
        """Number of every image's extension, and their names."""
        codes, names = pd.factorize(self.index["ext"])
        return codes, names.tolist()

    def extensions(self, rows: NDArray[np.int64]) -> list[str]:
        """The extensions, `jpg`, `png` or `npy`, of some rows of the index."""
        codes, names = self._extensions
        return [names[code] for code in codes[rows]]

    def of_scale(self, scale: str) -> NDArray[np.int64]:
        """Rows of the index that belong to a scale.

        Raises:
            InputError: there are none.
        """
        rows = np.flatnonzero((self.index["scale"] == scale).to_numpy())
        if len(rows) == 0:
            found = ", ".join(sorted(set(self.index["scale"])))
            raise InputError(f"{self.folder}: has no images of scale {scale}; found {found}")
        return rows

    def read(self, rows: NDArray[np.int64]) -> list[bytes]:
        """The files of some rows of the index, in the order asked for.

        On a local disk each shard is opened once and read from front to back; at a URL files that lie close together
        are one ranged request, and the requests run side by side where the filesystem can.

        Raises:
            InputError: a shard is missing or ends before an image of the index does.
        """
        try:
            found = self._read(rows)
        except (OSError, ValueError, OverflowError) as error:
            raise InputError(f"{self.folder}: a shard cannot be read ({first_line(error)})") from None
        for row, content in zip(rows, found, strict=True):
            if len(content) != self._places[2][row]:
                key = self.index["key"].iloc[row]
                raise InputError(f"{self.folder}: image {key} is cut short in its shard; make the shards again")
        return found

    def _read(self, rows: NDArray[np.int64]) -> list[bytes]:
        shard, offset, size = (each[rows] for each in self._places)
        if self.folder.protocol not in ("", "file", "local"):
            return self._read_ranges(shard, offset, size)
        out: list[bytes] = [b""] * len(rows)
        order = np.lexsort((offset, shard))
        for group in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1):
            if len(group) == 0:
                continue
            with (self.folder / f"shard-{shard[group[0]]:05d}.tar").open("rb") as file:
                for i in group:
                    file.seek(int(offset[i]))
                    out[i] = file.read(int(size[i]))
        return out

    def _read_ranges(self, shard: NDArray[np.int64], offset: NDArray[np.int64], size: NDArray[np.int64]) -> list[bytes]:
        """The same at a URL."""
        groups = together(shard, offset, size)
        starts = [int(offset[group[0]]) for group in groups]
        ends = [int((offset[group] + size[group]).max()) for group in groups]
        paths = [(self.folder / f"shard-{shard[group[0]]:05d}.tar").path for group in groups]
        parts = self.folder.fs.cat_ranges(paths, starts, ends, on_error="raise")
        out: list[bytes] = [b""] * len(shard)
        for group, start, part in zip(groups, starts, parts, strict=True):
            for i in group:
                out[i] = part[int(offset[i]) - start : int(offset[i] + size[i]) - start]
        return out


def together(
    shard: NDArray[np.int64], offset: NDArray[np.int64], size: NDArray[np.int64], gap_bytes: int = GAP_BYTES
) -> list[NDArray[np.int64]]:
    """Numbers of the files that one request fetches, each group from front to back: those of a shard that lie close.

    A request by s3fs costs 3 ms of CPU and a round trip, as much as a megabyte that is read for nothing.

    Args:
        shard: of each file, (N,).
        offset: where it begins, (N,).
        size: bytes, (N,).
        gap_bytes: that are read for nothing rather than by another request.
    """
    if not len(shard):
        return []
    order = np.lexsort((offset, shard))
    groups, begun = [[order[0]]], int(offset[order[0]])
    for before, i in pairwise(order):
        near = offset[i] - (offset[before] + size[before]) <= gap_bytes
        if shard[i] == shard[before] and near and offset[i] + size[i] - begun <= _REQUEST_BYTES:
            groups[-1].append(i)
        else:
            groups.append([i])
            begun = int(offset[i])
    return [np.array(group) for group in groups]


def _surveys_of_keys(keys: pd.Series) -> dict[str, pd.Series]:
    """The surveys of images by their keys, such as `glc24-po-123`, as sources wrote them for format version 1."""
    challenge, presence_only = keys.str.match(r"glc\d\d-|geoplant-"), keys.str.contains("-po-")
    ids = keys.str.rpartition("-")[2]
    kinds = pd.Series(np.where(presence_only, "relative", "occurrence"), keys.index)
    return {
        "survey_id": ids.where(~keys.str.startswith("glc23-"), ids + "-*"),
        "survey_kind": kinds.where(challenge, ""),
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # time, owner and mode are constants, so equal samples are equal bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))

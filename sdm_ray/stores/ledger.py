"""The ledger of a map: which tiles are done.

One small file per tile, written after the tile itself, under a temporary name first. That a chunk exists says
nothing: a tile of sea writes none.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.files import replacing

_AT_ONCE = 1000  # records


class Ledger:
    """The finished tiles of a map.

    Attributes:
        folder: where the records lie.
        fingerprint: of the map that they belong to.
    """

    def __init__(self, map_path: UPath, fingerprint: str) -> None:
        self.folder = map_path / "ledger"
        self.fingerprint = fingerprint
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, tile_id: str, figures: dict[str, Any]) -> None:
        """Record a tile as done, with what was counted in it."""
        with replacing(self.folder / f"{tile_id}.json", shared=True) as draft:
            draft.write_text(json.dumps({"tile": tile_id, "fingerprint": self.fingerprint, "figures": figures}))

    def forget(self, tile_id: str) -> None:
        """Have a tile done again."""
        (self.folder / f"{tile_id}.json").unlink(missing_ok=True)

    def done(self) -> dict[str, dict[str, Any]]:
        """Figures of each finished tile by its id.

        Raises:
            InputError: a record belongs to another map or cannot be read.
        """
        return dict(self._records())

    def finished(self) -> set[str]:
        """Ids of the finished tiles; unlike `done` it holds no figures, which many tiles have many of.

        Raises:
            InputError: as `done`.
        """
        return {tile for tile, _ in self._records()}

    def all(self, tiles: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Figures of each of some tiles, of which all are finished by now.

        Raises:
            InputError: a record is missing, as where a store does not yet show what was written to it.
        """
        found = self.done()
        wanted = list(tiles)
        self._require(found, wanted)
        return {tile: found[tile] for tile in wanted}

    def totals(self, tiles: Iterable[str]) -> tuple[dict[str, float | NDArray[np.float64]], int]:
        """Sums of figures over some tiles, of which all are finished by now, read one record after the other.

        Returns:
            Sum of each figure, a number or an array as in the records; and the number of tiles. A figure that a tile
            lacks is left out.

        Raises:
            InputError: as `all`.
        """
        wanted = set(tiles)
        seen: set[str] = set()
        sums: dict[str, Any] = {}
        for tile, figures in self._records():
            if tile in wanted:
                values = {
                    name: np.asarray(value) if isinstance(value, list) else value for name, value in figures.items()
                }
                sums = {name: sums[name] + values[name] for name in sums if name in values} if seen else values
                seen.add(tile)
        self._require(seen, wanted)
        return sums, len(seen)

    def _require(self, found: Collection[str], wanted: Collection[str]) -> None:
        missing = [tile for tile in wanted if tile not in found]
        if missing:
            raise InputError(
                f"{self.folder}: shows records of {len(wanted) - len(missing)} of {len(wanted)} finished tiles, none of"
                f" {min(missing)}; run the job again"
            )

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Id and figures of each finished tile, in the order of the files' names."""
        for file, content in self._contents():
            record = _parsed(file, content)
            if record["fingerprint"] != self.fingerprint:
                raise InputError(
                    f"{file}: belongs to a map of fingerprint {record['fingerprint']}, expected {self.fingerprint}"
                )
            yield record["tile"], record["figures"]

    def _contents(self) -> Iterator[tuple[UPath, bytes]]:
        """The records; from an object store many at a time."""
        files = sorted(self.folder.glob("*.json"), key=str)
        for start in range(0, len(files), _AT_ONCE):
            some = files[start : start + _AT_ONCE]
            if self.folder.protocol in ("", "file", "local"):
                yield from ((file, file.read_bytes()) for file in some)
            else:
                contents = self.folder.fs.cat([file.path for file in some])
                yield from ((file, contents[key]) for file, key in zip(some, sorted(contents), strict=True))


def _parsed(file: UPath, content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
        return {key: record[key] for key in ("tile", "fingerprint", "figures")}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file}: is no record of a tile; remove it, and the tile is done again") from None

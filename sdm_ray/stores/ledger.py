"""The ledger of a map: which tiles are done.

One small file per tile, written after the tile itself, under a temporary name first. That a chunk exists says
nothing: a tile of sea writes none.
"""

import json
from typing import Any

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.files import replacing


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
        with replacing(self.folder / f"{tile_id}.json") as draft:
            draft.write_text(json.dumps({"tile": tile_id, "fingerprint": self.fingerprint, "figures": figures}))

    def forget(self, tile_id: str) -> None:
        """Have a tile done again."""
        (self.folder / f"{tile_id}.json").unlink(missing_ok=True)

    def done(self) -> dict[str, dict[str, Any]]:
        """Figures of each finished tile by its id.

        Raises:
            InputError: a record belongs to another map or cannot be read.
        """
        found = {}
        for file in self.folder.glob("*.json"):
            record = _read(file)
            if record["fingerprint"] != self.fingerprint:
                raise InputError(
                    f"{file}: belongs to a map of fingerprint {record['fingerprint']}, expected {self.fingerprint}"
                )
            found[record["tile"]] = record["figures"]
        return found


def _read(file: UPath) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text())
        return {key: record[key] for key in ("tile", "fingerprint", "figures")}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file}: is no record of a tile; remove it, and the tile is done again") from None

"""A file of polygons with names, and what is known of each polygon before figures are summed up in it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.indicators.config import ZoneFileConfig
from sdm_ray.indicators.zone_sums import Shapes
from sdm_ray.readers.places import ids_of, require_columns
from sdm_ray.readers.tables import texts
from sdm_ray.readers.zone_polygons import Zones, read_zones

WARNINGS = {
    "empty": "no polygon",
    "repaired": "invalid geometry, made valid",
    "outside": "outside the map",
    "partly": "partly without a value in the map",
    "small": "smaller than a cell",
}
"""What `warnings` of a table of zones may say, and the names of their counts."""
_WHOLE = 0.99  # of a zone's area with values: coasts of a map and of polygons never agree wholly


@dataclass(frozen=True)
class NamedZones:
    """Polygons and their names.

    Attributes:
        zones: as they were read.
        ids: of the zones, text, (Z,).
        names: (Z,).
        shapes: for the tiles.
    """

    zones: Zones
    ids: list[str]
    names: list[str]
    shapes: Shapes

    @classmethod
    def read(cls, wanted: ZoneFileConfig, grid: Grid, columns: list[str] | None = None) -> "NamedZones":
        """Read the polygons.

        Args:
            wanted: the file.
            grid: of the map.
            columns: that it must have beside those of ids and names.

        Raises:
            InputError: they cannot be read, lack a column, have an id twice or all lie outside the map.
        """
        zones = read_zones(wanted.file, wanted.layer)
        named = [name for name in (wanted.id, wanted.name) if name is not None]
        require_columns([*named, *(columns or [])], list(zones.table.columns), wanted.file)
        numbered = pd.Series(range(1, len(zones.shapes) + 1)).astype(str)
        ids = numbered if wanted.id is None else ids_of(zones.table, wanted.id, wanted.file)
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].iloc[0]
            rows = [row + 1 for row in np.flatnonzero(ids == twice)]
            raise InputError(f"{wanted.file}: rows {rows[0]} and {rows[1]} have the same {wanted.id}, {twice!r}")
        names = ids if wanted.name is None else texts(zones.table[wanted.name]).fillna(ids)
        shapes = Shapes.of(zones.shapes)
        if not len(shapes.touching(grid.bounds)):
            raise InputError(
                f"{wanted.file}: no polygon lies in the map, which covers {list(grid.bounds)} in EPSG:3035;"
                f" the polygons cover {[round(float(each)) for each in shapely.total_bounds(zones.shapes)]}"
            )
        return cls(zones, list(ids), list(names), shapes)

    def table(self, mapped: NDArray[np.float64], cell: float) -> pd.DataFrame:
        """One row a zone: `zone, name, area_km2, mapped_km2, mapped_share, warnings`.

        Args:
            mapped: area with a value in the map, km2, (Z,).
            cell: area of a cell, km2.
        """
        area = shapely.area(self.zones.shapes) / 1e6
        share = np.divide(mapped, area, out=np.zeros(len(area)), where=area > 0)
        table = pd.DataFrame({"zone": self.ids, "name": self.names, "area_km2": area, "mapped_km2": mapped})
        return table.assign(mapped_share=share, warnings=self._warnings(area, mapped, cell))

    def _warnings(self, area: NDArray[np.float64], mapped: NDArray[np.float64], cell: float) -> list[str]:
        empty = shapely.is_empty(self.zones.shapes)
        flags = {
            "empty": empty,
            "repaired": self.zones.repaired,
            "outside": ~empty & (mapped == 0),
            "partly": (mapped > 0) & (mapped < _WHOLE * area),
            "small": ~empty & (area < cell),
        }
        return [
            "; ".join(WARNINGS[name] for name, flag in flags.items() if flag[number]) for number in range(len(area))
        ]


def counted_warnings(table: pd.DataFrame) -> dict[str, int]:
    """How many zones of a table have each of the `WARNINGS`."""
    return {name: int(table["warnings"].str.contains(text).sum()) for name, text in WARNINGS.items()}


def told_warnings(counts: dict[str, int]) -> str:
    """The warnings that there are, in brackets, for a message."""
    told = ", ".join(f"{counts[name]} {text}" for name, text in WARNINGS.items() if counts[name])
    return f" ({told})" if told else ""

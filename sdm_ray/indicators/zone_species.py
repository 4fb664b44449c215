"""Species in zones: put together from the sums of every tile, block of species by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.indicators.zone_sums import ZoneSums
from sdm_ray.job import Job
from sdm_ray.stores.files import replacing
from sdm_ray.stores.maps import SPECIES_SHARD

_ROWS = 1 << 22  # pairs of zone and species at once


@dataclass(frozen=True)
class SpeciesTable:
    """How species are shown in tables of zones.

    Attributes:
        names: of the map's species.
        lists: name -> which species a list has, (S,).
        finest: finest resolution in metres at which a species may be published, 0 for any, infinite for none, (S,).
        grid: of the map.
    """

    names: list[str]
    lists: dict[str, NDArray[np.bool_]]
    finest: NDArray[np.float64]
    grid: Grid

    def withheld(self, mapped_km2: NDArray[np.float64], species: slice = slice(None)) -> NDArray[np.bool_]:
        """Whether the figures of species are withheld in zones, (Z, K): where a zone is smaller than their cells."""
        finest = self.finest[species]
        return (mapped_km2[:, None] * 1e6 < np.square(finest)) & (finest > 0)


@dataclass(frozen=True)
class ZoneSpecies:
    """Figures of all species in one zone, NaN where they are withheld, (S,) each.

    Attributes:
        mean: mean probability over the mapped part: the expected share of its cells with the species.
        area_km2: expected area with the species.
        sd_km2: its standard deviation if cells are independent.
        highest: highest probability of any cell, the least that the probability of the species in the zone can be.
    """

    mean: NDArray[np.float64]
    area_km2: NDArray[np.float64]
    sd_km2: NDArray[np.float64]
    highest: NDArray[np.float64]


class TileParts:
    """The sums of species over the zones of a tile, on disk, in files of `SPECIES_SHARD` species at most."""

    def __init__(self, folder: str, tile: str, zones: ZoneSums, species: int) -> None:
        self._folder, self._tile, self._zones, self._count = UPath(folder), tile, zones, species
        self._waiting: list[NDArray[np.floating[Any]]] = []
        self._start = 0

    def add(self, block: slice, p: NDArray[np.float32]) -> None:
        """Add a block of species, (U, K)."""
        self._waiting.append(self._zones.species(p))
        if block.stop == self._count or block.stop % SPECIES_SHARD == 0:
            place = self._folder / f"{self._start}"
            place.mkdir(parents=True, exist_ok=True)
            with replacing(place / f"{self._tile}.npz", shared=True) as draft, draft.open("wb") as file:
                np.savez(file, zones=self._zones.zones, sums=np.concatenate(self._waiting, axis=2))
            self._waiting, self._start = [], block.stop


def write_zone_species(
    species: SpeciesTable,
    parts: UPath,
    zones: tuple[Sequence[str], NDArray[np.float64]],
    target: tuple[Job, Sequence[int]],
) -> dict[int, ZoneSpecies]:
    """Write `zone_species.parquet`, a row for each species in each zone that has values, and remove the parts.

    Args:
        species: how they are shown.
        parts: folder with the sums of tiles, of some species in each folder.
        zones: ids, and mapped km2 of each, (Z,).
        target: the job, and the numbers of zones whose figures are returned.
    """
    (ids, mapped), (job, wanted) = zones, target
    kept = {number: np.full((4, len(species.names)), np.nan) for number in wanted}
    schema = _schema(species, job.sources)
    with (
        (job.output / "zone_species.parquet").open("wb") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for start in sorted(int(each.name) for each in _folders(parts)):
            sums = _together(parts / str(start), len(ids))
            block = slice(start, start + sums.shape[2])
            figures = _figures(sums, species.grid.resolution**2 / 1e6, mapped)
            figures[:, species.withheld(mapped, block)] = np.nan
            for number, values in kept.items():
                values[:, block] = figures[:, number]
            for batch in _rows(species, block, np.flatnonzero(mapped > 0), (ids, figures)):
                writer.write_table(pa.Table.from_pydict(batch, schema))
    if parts.exists():
        parts.fs.rm(parts.path, recursive=True)
    return {number: ZoneSpecies(*values) for number, values in kept.items()}


def _folders(parts: UPath) -> list[UPath]:
    return [each for each in parts.iterdir() if each.is_dir()] if parts.exists() else []


def _together(folder: UPath, count: int) -> NDArray[np.float64]:
    """Sums of `ZoneSums.species` over all tiles, (3, Z, K)."""
    total: NDArray[np.float64] | None = None
    for file in sorted(folder.glob("*.npz"), key=lambda each: each.name):
        with file.open("rb") as opened, np.load(opened) as part:
            zones, sums = part["zones"], part["sums"]
        if total is None:
            total = np.zeros((3, count, sums.shape[2]))
        total[:2, zones] += sums[:2]
        total[2, zones] = np.maximum(total[2, zones], sums[2])
    assert total is not None
    return total


def _figures(sums: NDArray[np.float64], cell_km2: float, mapped: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        area = sums[0] * cell_km2
        return np.stack([area / mapped[:, None], area, np.sqrt(sums[1]) * cell_km2, sums[2]])


def _schema(species: SpeciesTable, sources: Sequence[str]) -> pa.Schema:
    numbers = ("mean_probability", "expected_area_km2", "expected_area_sd_independent_km2", "highest_probability")
    fields = [("zone", pa.string()), ("species", pa.string()), *((name, pa.float32()) for name in numbers)]
    fields += [(f"list_{name}", pa.bool_()) for name in species.lists]
    return pa.schema(fields, metadata={"sources": "; ".join(sources)})


def _rows(
    species: SpeciesTable,
    block: slice,
    zones: NDArray[np.int64],
    values: tuple[Sequence[str], NDArray[np.float64]],
) -> "list[dict[str, object]]":
    """Rows of some species at a time; those that are withheld are left out."""
    ids, figures = values
    names, found = np.array(species.names, object)[block], []
    labels = np.array(list(ids), object)[zones]
    step = max(1, _ROWS // max(1, len(names)))
    for first in range(0, len(zones), step):
        some = zones[first : first + step]
        shown = ~np.isnan(figures[0][some])
        row, column = np.nonzero(shown)
        batch: dict[str, object] = {"zone": labels[first : first + step][row], "species": names[column]}
        for name, each in zip(_schema(species, ()).names[2:6], figures, strict=True):
            batch[name] = each[some][shown].astype(np.float32)
        for name, listed in species.lists.items():
            batch[f"list_{name}"] = listed[block][column]
        found.append(batch)
    return found

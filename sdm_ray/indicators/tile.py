"""One tile of the job `indicators`: its probabilities are read once, for every layer, table and zone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.windows import Tile, Window
from sdm_ray.indicators.cells import Indicator, needs_of
from sdm_ray.indicators.countries import sums_by_country
from sdm_ray.indicators.ranges import Cuts
from sdm_ray.indicators.sums import CellSums, counted
from sdm_ray.indicators.zone_intervals import Drawn, IntervalSums, ZoneDraws
from sdm_ray.indicators.zone_species import TileParts
from sdm_ray.indicators.zone_sums import Shapes, ZoneSums
from sdm_ray.mapping.quality_layers import COVARIATES, SATELLITE
from sdm_ray.mapping.region_mask import offset
from sdm_ray.stores import raster, zarr_io
from sdm_ray.stores.encoding import nodata
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map

Floats = NDArray[np.float32]
NOT_COUNTED = 65535
"""In the layer `likely_species`: the map has no value."""
_READ = 3 << 22  # probabilities read at once
_SPECIES, _CELLS = 96, 1024  # at once: few arrays of so many numbers stay in the processor's cache
QUALITY = {
    "without_covariates_share": "share of cells predicted without covariates",
    "without_satellite_share": "share of cells predicted without satellite images",
    "outside_surveyed_environment_share": "share of cells with a covariate outside the range of the surveys (MESS < 0)",
    "survey_distance_m": "mean distance of cells to the nearest surveyed cell, metres",
    "fold_spread": "mean standard deviation of expected richness among the fold models",
}
"""Caveats of a zone, means over its cells of what the map's quality layers say."""


@dataclass(frozen=True)
class Work:
    """What every tile needs.

    Attributes:
        map: the map.
        output: where the indicators go.
        land: the land store.
        identity: fingerprint of the artefact; what one worker has opened is used for this one alone.
        indicators: whose layers are written.
        floor: least probability with a share in diversity.
        thresholds: of `likely_species`.
        cuts: of the species' ranges.
        zones: that are summed up; None without.
        parts: folder for the zones' sums of species; None without.
        drawn: what is drawn for intervals of zones; None without.
        scenario: of a map with several.
    """

    map: str
    output: str
    land: str
    identity: str
    indicators: list[Indicator]
    floor: float
    thresholds: list[float]
    cuts: Cuts | None
    zones: Shapes | None = None
    parts: str | None = None
    drawn: Drawn | None = None
    scenario: str | None = None


@dataclass
class TileSums:
    """What a tile adds to the tables.

    Attributes:
        countries: `sums_by_country`, (C, 4).
        above: cells that reach the cuts, (cuts, S).
        holes: probabilities that are missing in cells that have others; they count as 0.
        zones: numbers of the zones that the tile touches, (Z,).
        zone_cells: fractions of the tile's cells in them, with data or without, (Z,).
        zone_layers: name -> sums of `ZoneSums.layer`, (4, Z).
        zone_draws: draws of their richness; None without.
    """

    countries: NDArray[np.float64]
    above: NDArray[np.int64]
    holes: int = 0
    zones: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    zone_cells: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    zone_layers: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    zone_draws: ZoneDraws | None = None


@lru_cache(maxsize=2)
def _opened(source: tuple[str, str | None], output: str, land: str, identity: str) -> tuple[Map, Any, Land]:
    """The stores of a job, opened once by each worker."""
    return Map(UPath(source[0]), scenario=source[1]), raster.open_group(UPath(output) / "0", "r+"), Land(UPath(land))


def do_tile(shared: Sequence[Any], tile: Tile) -> TileSums:
    """Write the layers of a tile.

    Args:
        shared: a reference to the `Work`.
        tile: which.
    """
    import ray

    return tile_sums(ray.get(shared[0]), tile)


def tile_sums(work: Work, tile: Tile) -> TileSums:
    """Write the layers of a tile; what it adds to the tables."""
    return _Tile(work, tile).run()


class _Tile:
    def __init__(self, work: Work, tile: Tile) -> None:
        self._work, self._tile, self._window = work, tile, tile.window
        self._map, self._group, self._land = _opened((work.map, work.scenario), work.output, work.land, work.identity)

    def run(self) -> TileSums:
        work, window, found = self._work, self._window, self._map
        count = len(found.species)
        above = np.zeros((0 if work.cuts is None else len(work.cuts.names), count), np.int64)
        sums = TileSums(np.zeros((len(self._land.countries), 4)), above)
        known, exact = cells_with_data(found, window)
        zones = None
        if work.zones is not None:
            zones = ZoneSums(work.zones, found.grid, window, known)
            sums.zones, sums.zone_cells = zones.zones, zones.cells
        if not len(known):
            return sums
        cells = CellSums(needs_of(work.indicators, count), len(known), work.floor)
        likely = np.zeros((len(work.thresholds), len(known)), np.uint16)
        parts = (
            TileParts(work.parts, self._tile.id, zones, count) if zones and work.parts and len(zones.zones) else None
        )
        drawn = None
        if zones is not None and work.drawn is not None and len(zones.zones):
            drawn = IntervalSums(work.drawn, zones, found.grid, window, known)
        for block, stored in species_blocks(found, window, known):
            for species, strip in strips(block, len(known)):
                p, holes = probabilities(
                    stored[species.start - block.start : species.stop - block.start, strip], found.bits
                )
                sums.holes += holes
                for number, threshold in enumerate(work.thresholds):
                    likely[number, strip] += counted(p >= np.float32(threshold))
                if work.cuts is not None:
                    above[:, species] += work.cuts.count(p, species)
                cells.add(p, species, strip)
            if zones is not None and (parts or drawn):
                inside = np.ascontiguousarray(probabilities(stored[:, zones.used], found.bits)[0].T)
                for each in (parts, drawn):
                    if each is not None:
                        each.add(block, inside)
            del stored  # before the next block is read, which memory would hold as well
        layers = self._layers(cells, exact)
        self._write(known, layers, likely)
        country = self._land.country(window.shifted(*offset(self._land.grid, found.grid))).ravel()[known]
        richness, variance = layers["richness"], np.square(layers["richness_sd"])
        sums.countries = sums_by_country(country, richness, variance, len(self._land.countries))
        if zones is not None:
            sums.zone_layers = self._zone_layers(zones, known, layers)
            sums.zone_draws = drawn.result() if drawn is not None else None
        return sums

    def _layers(self, cells: CellSums, exact: dict[str, Floats]) -> dict[str, NDArray[Any]]:
        """Values of all layers in the known cells, (N,) each; richness from the map where it has it."""
        found: dict[str, NDArray[Any]] = {}
        for each in self._work.indicators:
            found |= each.values(cells)
        return {**found, **exact}

    def _write(self, known: NDArray[np.int64], layers: dict[str, NDArray[Any]], likely: NDArray[np.uint16]) -> None:
        window = self._window
        shape = (window.height, window.width)
        parts: dict[str, tuple[Any, NDArray[Any]]] = {}
        for name, values in layers.items():
            array = self._group[name]
            full = np.full(window.size, array.fill_value, array.dtype)
            full[known] = values
            parts[name] = (window.slices, full.reshape(shape))
        counts = np.full((len(likely), window.size), NOT_COUNTED, np.uint16)
        counts[:, known] = likely
        parts["likely_species"] = ((slice(None), *window.slices), counts.reshape(-1, *shape))
        zarr_io.write(self._group, parts)

    def _zone_layers(
        self, zones: ZoneSums, known: NDArray[np.int64], layers: dict[str, NDArray[Any]]
    ) -> dict[str, NDArray[np.float64]]:
        numbers = {name: values for name, values in layers.items() if values.dtype.kind == "f"}
        found = {
            name: zones.layer(values, numbers.get(f"{name}_sd"))
            for name, values in numbers.items() if not name.endswith("_sd")
        }  # fmt: skip
        return found | {name: zones.layer(values) for name, values in self._quality(known).items()}

    def _quality(self, known: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """What the map's quality layers say about the known cells, see `QUALITY`."""
        there, found = self._map.layers(), {}

        def layer(name: str) -> NDArray[Any]:
            return self._map.layer(name, self._window).ravel()[known]

        if "inputs" in there:
            inputs = layer("inputs")
            found["without_covariates_share"] = (inputs & COVARIATES == 0).astype(np.float32)
            found["without_satellite_share"] = (inputs & SATELLITE == 0).astype(np.float32)
        if "environmental_similarity" in there:
            similarity = layer("environmental_similarity")
            found["outside_surveyed_environment_share"] = np.where(np.isnan(similarity), np.nan, similarity < 0)
        for layer_name, name in (("survey_distance", "survey_distance_m"), ("richness_spread", "fold_spread")):
            if layer_name in there:
                found[name] = layer(layer_name)
        return found


def cells_with_data(found: Map, window: Window) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """Flat numbers of a window's cells that the map has probabilities of, (N,).

    Returns:
        The numbers, and `richness` and `richness_sd` in these cells where the map has them, which were summed up before
        probabilities were rounded to be stored.
    """
    if "richness" not in found.layers():
        return np.flatnonzero(found.stored(window, 0) != nodata(found.bits)), {}
    richness = found.layer("richness", window).ravel()
    known = np.flatnonzero(~np.isnan(richness))
    if not len(known):
        return known, {}
    variance = found.layer("richness_variance", window).ravel()
    return known, {"richness": richness[known], "richness_sd": np.sqrt(variance[known])}


def species_blocks(
    found: Map, window: Window, known: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[Any]]]:  # fmt: skip
    """Blocks of species, which end where Zarr shards do, and their stored probabilities in known cells, (K, N)."""
    chunk = found.species_chunk
    most = max(chunk, _READ // window.size)
    for shard in found.species_blocks():
        count = shard.stop - shard.start
        step = -(-count // -(-count // most) // chunk) * chunk  # parts of like size, of whole chunks
        for start in range(shard.start, shard.stop, step):
            block = slice(start, min(start + step, shard.stop))
            yield block, _stored(found, window, block, known)  # kept here by no name, so that one block is held


def _stored(found: Map, window: Window, block: slice, known: NDArray[np.int64]) -> NDArray[Any]:
    stored = found.stored(window, block).reshape(block.stop - block.start, -1)
    return stored if len(known) == stored.shape[1] else stored[:, known]


def strips(block: slice, cells: int) -> Iterator[tuple[slice, slice]]:
    """Species of a block, in parts of like size, and cells that are computed at once."""
    count = block.stop - block.start
    step = -(-count // -(-count // _SPECIES))
    for first in range(0, cells, _CELLS):
        for start in range(block.start, block.stop, step):
            yield slice(start, min(start + step, block.stop)), slice(first, min(first + _CELLS, cells))


def probabilities(stored: NDArray[Any], bits: int) -> tuple[Floats, int]:
    """Probabilities of stored integers, 0 where there is none, and how many those are."""
    top = nodata(bits) - 1
    p = stored.astype(np.float32)
    p /= np.float32(top)
    missing = stored > top
    holes = int(np.count_nonzero(missing))
    if holes:
        p[missing] = 0
    return p, holes


def tile_side(found: Map) -> int:
    """Side of the tiles of this job: whole tiles of the map, up to 512 cells, since small files are slow to write."""
    most = -(-max(found.grid.shape) // found.tile)
    return found.tile * max(1, min(512 // found.tile, most))

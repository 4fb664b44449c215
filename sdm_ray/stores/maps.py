"""Maps on disk: probabilities of all species on the EU grid, the layers that say how good they are, coarser levels.

A map is a Zarr v3 group. Level 0 in `0/` holds `probability(species, y, x)` and the quality layers; the coarser levels
`1/`, `2/`, ... are written by `pyramid`. A map of scenarios holds `probability(scenario, species, y, x)`, and layers
that differ between scenarios have the same axis; one is opened at a time. A tile is the unit of writing: a square with
all its species, whose task owns every Zarr shard under it. A chunk holds 4 species x 64 x 64 cells: one species of a
tile decodes 4 species, all species of one cell 64 x 64 cells (`tests/benchmarks/bench_viewer.py` measures other
shapes). Readers take whatever shape a map has.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.stores import raster, zarr_io
from sdm_ray.stores.encoding import decode, encode, nodata
from sdm_ray.stores.raster import ArraySpec

SPECIES_CHUNK = 4
SPECIES_SHARD = 256
CELL_CHUNK = 64


@dataclass(frozen=True)
class Layer:
    """A quality layer of a map, (y, x).

    Attributes:
        dtype: NumPy type.
        fill: value of what was never written.
        attrs: CF attributes.
        static: whether it is the same in every scenario of a map, and stored once.
    """

    dtype: str
    fill: float | int
    attrs: dict[str, Any] = field(default_factory=dict)
    static: bool = False


@dataclass(frozen=True)
class MapSpec:
    """What a map holds.

    Attributes:
        species: `species_id` and `name`, one row per species.
        probability_kind: what the probabilities are of.
        tile: side of the unit of writing, cells.
        layers: the quality layers.
        bits: 8 (steps of 1/254) or 16 (steps of 1/65534, for rare species).
        attrs: attributes of the root group.
        scenarios: labels of the scenarios, the baseline first; none where the map has no axis of scenarios.
    """

    species: pd.DataFrame
    probability_kind: str
    tile: int
    layers: dict[str, Layer]
    bits: Literal[8, 16] = 8
    attrs: dict[str, Any] = field(default_factory=dict)
    scenarios: tuple[str, ...] = ()


def create_map(path: UPath, grid: Grid, spec: MapSpec) -> None:
    """Make an empty map; done once, by the driver."""
    root: Any = raster.open_root(path)
    raster.clear(root)
    own: dict[str, Any] = {"probability_kind": spec.probability_kind, "tile": spec.tile, "bits": spec.bits}
    own |= {"scenarios": list(spec.scenarios)} if spec.scenarios else {}
    about = {"Conventions": "CF-1.11", **raster.LEVELS, **spec.attrs}
    root.attrs.put({**about, "sdm_ray": {**own, **spec.attrs.get("sdm_ray", {})}})
    # Opened without a group, a map shows its species. Rows and columns would not fit those of coarser levels.
    raster.add_axis(root, "species", [str(name) for name in spec.species["name"]], {})
    create_level(path, 0, grid, spec)


class Map:
    """A map for reading, or for writing whole tiles.

    Attributes:
        grid: its cells at this level.
        species: `species_id` and `name`.
        probability_kind: what the probabilities are of.
        tile: side of the unit of writing, cells.
        bits: of the encoding.
        attrs: further attributes of the root group under `sdm_ray`.
        scenarios: labels of the scenarios, the baseline first; none where the map has no such axis.
        scenario: label of the one that is read and written; None where there are none.
    """

    @raster.reports_damage("map")
    def __init__(self, path: UPath, level: int = 0, *, writable: bool = False, scenario: str | None = None) -> None:
        """Open a map, or one scenario of it.

        Raises:
            InputError: there is no map, it is damaged, or it has other scenarios than the one that is named.
        """
        root: Any = raster.open_group(path)
        if "sdm_ray" not in root.attrs or "probability_kind" not in root.attrs["sdm_ray"]:
            raise InputError(f"{path}: is no map (no probability_kind)")
        self.path = path
        self.attrs: dict[str, Any] = dict(root.attrs["sdm_ray"])
        self.probability_kind: str = self.attrs["probability_kind"]
        self.tile: int = self.attrs["tile"]
        self.bits: Literal[8, 16] = self.attrs["bits"]
        self.scenarios: list[str] = list(self.attrs.get("scenarios", []))
        self.scenario = scenario
        self._lead = _position(path, self.scenarios, scenario)
        group: Any = raster.open_group(path / str(level), "r+" if writable else "r")
        self.grid = raster.read_grid(group)
        names = [str(name) for name in group["species"][:]]
        self.species = pd.DataFrame({"species_id": group["species_id"][:], "name": names})
        self._group = group
        self._probability = group["probability"]

    @property
    def species_chunk(self) -> int:
        """Number of species that are decoded together."""
        return int(self._probability.chunks[-3])

    @cached_property
    def _engine(self) -> zarr_io.Engine:
        return zarr_io.engine_of(self._probability)

    def species_blocks(self) -> list[slice]:
        """Ranges of species that are written together."""
        count = len(self.species)
        return [slice(i, min(i + SPECIES_SHARD, count)) for i in range(0, count, SPECIES_SHARD)]

    def read(self, window: Window, species: slice | int = slice(None)) -> NDArray[np.float32]:
        """Probabilities of a window, (S, height, width) or for one species (height, width), NaN = nodata."""
        return decode(self.stored(window, species))

    @raster.reports_damage("map")
    def stored(self, window: Window, species: slice | int = slice(None)) -> NDArray[Any]:
        """The same as they are stored: integers, see `encode`."""
        return zarr_io.read(self._engine, (*self._lead, species, *window.slices))

    @raster.reports_damage("map")
    def layers(self) -> dict[str, float | int]:
        """Names of the quality layers, and what stands where they have no value."""
        arrays = {name: each for name, each in self._group.arrays() if each.ndim in {2, 2 + len(self._lead)}}
        return {name: array.fill_value.item() for name, array in sorted(arrays.items())}

    @raster.reports_damage("map")
    def layer_attrs(self, name: str) -> dict[str, Any]:
        """CF attributes of a quality layer."""
        return dict(self._group[name].attrs)

    @raster.reports_damage("map")
    def layer_spec(self, name: str) -> Layer:
        """How a quality layer is stored."""
        array = self._group[name]
        static = array.ndim == 2 and bool(self._lead)
        return Layer(str(array.dtype), array.fill_value.item(), dict(array.attrs), static)

    @staticmethod
    def has_level(path: UPath, level: int) -> bool:
        """Whether a map has a coarser level."""
        return str(level) in raster.open_group(path)

    def read_cells(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float32]:
        """Probabilities of all species at cells, (N, S); each chunk is decoded once.

        Args:
            rows: inside the map, (N,).
            cols: inside the map, (N,).

        Raises:
            ValueError: a cell lies outside the map.
        """
        rows, cols = np.asarray(rows, np.int64), np.asarray(cols, np.int64)
        if not self.grid.contains(rows, cols).all():
            raise ValueError(f"a cell lies outside the map of {self.grid.height} x {self.grid.width} cells")
        return decode(zarr_io.read_cells(self._engine, self._probability, (rows, cols), (*self._lead, slice(None)))).T

    @raster.reports_damage("map")
    def layer(self, name: str, window: Window | None = None) -> NDArray[Any]:
        """A quality layer as stored, (height, width).

        Raises:
            InputError: the map has no such layer.
        """
        if name not in self._group:
            raise InputError(f"{self.path}: has no layer {name}")
        return self._group[name][(*self.lead_of(name), *(window.slices if window else ()))]

    def write(self, window: Window, probability: NDArray[np.float32], layers: dict[str, NDArray[Any]]) -> None:
        """Write a tile with all its species, (S, height, width), NaN = nodata, and its layers.

        Raises:
            ValueError: as `write_species` and `write_layers`, or a probability lies outside 0 to 1.
        """
        self._check_layers(window, layers)
        for block in self.species_blocks():
            self.write_species(window, block, encode(probability[block], self.bits))
        self.write_layers(window, layers)

    def write_species(self, window: Window, species: slice, stored: NDArray[Any]) -> None:
        """Write one of the `species_blocks` of a tile, so that a map may have more species than fit in memory.

        Args:
            window: aligned to tiles, or ending at the map's edge.
            species: one of `species_blocks`.
            stored: integers of `encode`, (species, height, width).

        Raises:
            ValueError: the window or the block cuts a unit of writing, which two tasks could then overwrite for each
                other, or the values are not of their shape or type.
        """
        raster.require_aligned(window, self.tile, self.grid)
        if species not in self.species_blocks():
            raise ValueError(f"{species} is none of the blocks {self.species_blocks()}")
        shape = (species.stop - species.start, window.height, window.width)
        if stored.shape != shape or stored.dtype != self._probability.dtype:
            raise ValueError(f"{stored.dtype} values of shape {stored.shape} for {species} of {window}")
        zarr_io.write(self._group, {"probability": ((*self._lead, species, *window.slices), stored)})

    def write_layers(self, window: Window, layers: dict[str, NDArray[Any]]) -> None:
        """Write layers of a tile, (height, width) each.

        Raises:
            ValueError: the window cuts a tile, or a layer is unknown or not of the window's shape.
        """
        raster.require_aligned(window, self.tile, self.grid)
        self._check_layers(window, layers)
        at: dict[str, zarr_io.Index] = {name: (*self.lead_of(name), *window.slices) for name in layers}
        zarr_io.write(self._group, {name: (at[name], values) for name, values in layers.items()})

    def lead_of(self, name: str) -> tuple[int, ...]:
        """Position before rows and columns in a layer; none in one that is the same in every scenario."""
        return self._lead if self._group[name].ndim > 2 else ()

    def _check_layers(self, window: Window, layers: dict[str, NDArray[Any]]) -> None:
        for name, values in layers.items():
            if name not in self._group or values.shape != (window.height, window.width):
                raise ValueError(f"layer {name} of shape {values.shape} for {window}")


def baseline(path: UPath, level: int = 0) -> Map:
    """A map, or of a map of scenarios the baseline."""
    scenarios = raster.open_group(path).attrs.get("sdm_ray", {}).get("scenarios", [None])
    return Map(path, level, scenario=scenarios[0])


def _position(path: UPath, scenarios: list[str], wanted: str | None) -> tuple[int, ...]:
    """Position along the axis of scenarios; none where there is no such axis."""
    if wanted in scenarios:
        return (scenarios.index(wanted),)
    if wanted is None and not scenarios:
        return ()
    found = f"holds the scenarios {', '.join(scenarios)}" if scenarios else "has no axis of scenarios"
    expected = "a map of one, or `scenario` that names one" if wanted is None else f"the scenario {wanted}"
    raise InputError(f"{path}: {found}; expected {expected}")


def create_level(path: UPath, level: int, grid: Grid, spec: MapSpec) -> None:
    """Make an empty level of a map.

    Raises:
        InputError: tiles are no whole chunks.
    """
    if spec.tile % CELL_CHUNK and spec.tile > CELL_CHUNK:
        raise InputError(f"tile: {spec.tile} cells; expected a multiple of {CELL_CHUNK}, or less")
    names = [str(name) for name in spec.species["name"]]
    axes: dict[str, list[str]] = {"scenario": list(spec.scenarios)} if spec.scenarios else {}
    group = raster.create(path / str(level), grid, {**axes, "species": names}, {"title": f"level {level}"})
    ones = (1,) * len(axes)  # a scenario is written and read alone
    ids = group.create_array("species_id", shape=(len(names),), dtype="int32", dimension_names=["species"])
    ids[...] = spec.species["species_id"].to_numpy(np.int32)
    top = nodata(spec.bits) - 1
    chunk = min(CELL_CHUNK, spec.tile)
    probability = ArraySpec(
        dtype=f"uint{spec.bits}",
        chunks=(*ones, SPECIES_CHUNK, chunk, chunk),
        shards=(*ones, SPECIES_SHARD, spec.tile, spec.tile),
        leading=(*axes, "species"),
        fill=top + 1,
        attrs={
            "long_name": f"probability ({spec.probability_kind})",
            "units": "1",
            "coordinates": "species_id spatial_ref",
            "scale_factor": 1 / top,
            "valid_max": top,
        },
    )
    raster.add_array(group, "probability", probability)
    for name, layer in spec.layers.items():
        own, lead = ((), ()) if layer.static else (ones, tuple(axes))
        shapes = (*own, chunk, chunk), (*own, spec.tile, spec.tile)
        array = ArraySpec(layer.dtype, *shapes, leading=lead, fill=layer.fill, attrs=layer.attrs)
        raster.add_array(group, name, array)

"""Embeddings on disk: a model's embedding of every cell, quantised to int8, from which any species is mapped.

A Zarr v3 group whose `0/` holds `embedding(component, y, x)` with the factor of each component, and the layers of
its inputs. The root's attributes follow the `geoemb:` convention of embeddings in Zarr.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.stores import raster, zarr_io
from sdm_ray.stores.embedding_sources import GEOEMB
from sdm_ray.stores.maps import Layer
from sdm_ray.stores.raster import ArraySpec
from sdm_ray.version import __version__

_TOP = 127
_NONE = -128
_CHUNK = 64


@dataclass(frozen=True)
class EmbeddingSpec:
    """What a store of embeddings holds.

    Attributes:
        scale: what one step of each component is, (E,).
        tile: side of the unit of writing, cells.
        layers: further layers, by name.
        attrs: attributes of the root group.
        inputs: fingerprints of the artefacts that the embeddings were made from.
    """

    scale: NDArray[np.float32]
    tile: int
    layers: dict[str, Layer]
    attrs: dict[str, Any]
    inputs: tuple[str, ...] = ()


def steps_of(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Steps of the components, (E,), that hold a sample of embeddings (N, E) with a tenth to spare."""
    largest = np.abs(sample).max(axis=0)
    return np.where(largest > 0, 1.1 * largest / _TOP, 1).astype(np.float32)


def create_embeddings(path: UPath, grid: Grid, spec: EmbeddingSpec) -> None:
    """Make an empty store; done once, by the driver."""
    root: Any = raster.open_root(path)
    raster.clear(root)
    root.attrs.put({"Conventions": "CF-1.11", **raster.LEVELS, **_convention(spec, grid), **spec.attrs})
    group = raster.create(path / "0", grid, {"component": list(range(len(spec.scale)))}, {"title": "Embeddings"})
    scale = group.create_array("scale", shape=spec.scale.shape, dtype="float32", dimension_names=["component"])
    scale[...] = spec.scale
    count, side = len(spec.scale), min(_CHUNK, spec.tile)
    attrs = {"long_name": "embedding of the model; times `scale`", "valid_min": -_TOP, "valid_max": _TOP}
    array = ArraySpec("int8", (count, side, side), (count, spec.tile, spec.tile), ("component",), _NONE, attrs)
    raster.add_array(group, "embedding", array)
    for name, layer in spec.layers.items():
        shape = ArraySpec(layer.dtype, (side,) * 2, (spec.tile,) * 2, fill=layer.fill, attrs=layer.attrs)
        raster.add_array(group, name, shape)


def _convention(spec: EmbeddingSpec, grid: Grid) -> dict[str, Any]:
    """Attributes of the `geoemb:` convention, version 1; model and inputs are named by their fingerprints."""
    return {
        "zarr_conventions": [GEOEMB],
        "geoemb:type": "pixel",
        "geoemb:dimensions": len(spec.scale),
        "geoemb:model": f"urn:sdm-ray:model:{spec.attrs['sdm_ray']['model_fingerprint']}",
        "geoemb:source_data": [f"urn:sdm-ray:artefact:{each}" for each in spec.inputs],
        "geoemb:data_type": "int8",
        "geoemb:gsd": grid.resolution,
        "geoemb:spatial_layout": "global",
        "geoemb:build_version": __version__,
        "geoemb:quantization": {
            "method": "linear, one scale for each component",
            "original_dtype": "float32",
            "quantized_dtype": "int8",
            "scale": {"type": "array", "array_name": "0/scale"},
        },
    }


class Embeddings:
    """A store of embeddings for reading, or for writing whole tiles.

    Attributes:
        grid: its cells.
        scale: what one step of each component is, (E,).
        attrs: attributes of the root group under `sdm_ray`.
    """

    @raster.reports_damage("store of embeddings")
    def __init__(self, path: UPath, *, writable: bool = False) -> None:
        group: Any = raster.open_group(path / "0", "r+" if writable else "r")
        if "embedding" not in group:
            raise InputError(f"{path}: holds no embeddings")
        self.path = path
        self.grid: Grid = raster.read_grid(group)
        self.scale: NDArray[np.float32] = group["scale"][:]
        self.attrs: dict[str, Any] = dict(raster.open_group(path).attrs["sdm_ray"])
        self._tile: int = self.attrs["tile"]
        self._group = group

    def encode(self, embedding: NDArray[np.float32]) -> tuple[NDArray[np.int8], int]:
        """Embeddings (N, E) as they are stored, and how many numbers were clipped to the range of int8."""
        steps = np.rint(embedding / self.scale)
        return np.clip(steps, -_TOP, _TOP).astype(np.int8), int((np.abs(steps) > _TOP).sum())

    def write(self, window: Window, stored: NDArray[np.int8], layers: dict[str, NDArray[Any]]) -> None:
        """Write a tile: integers of `encode` (E, height, width), and layers (height, width).

        Raises:
            ValueError: the window cuts a tile, which two tasks could then overwrite for each other.
        """
        raster.require_aligned(window, self._tile, self.grid)
        parts = {name: (window.slices, values) for name, values in layers.items()}
        zarr_io.write(self._group, {"embedding": ((slice(None), *window.slices), stored), **parts})

    @raster.reports_damage("store of embeddings")
    def read(self, window: Window) -> NDArray[np.int8]:
        """Embeddings of a window as stored, (E, height, width)."""
        return np.asarray(self._group["embedding"][(slice(None), *window.slices)])

    @raster.reports_damage("store of embeddings")
    def layer(self, name: str, window: Window | None = None) -> NDArray[Any]:
        """A layer of a window, (height, width)."""
        return np.asarray(self._group[name][window.slices if window else ...])

    def has_layer(self, name: str) -> bool:
        """Whether there is such a layer."""
        return name in self._group

    def decode(self, stored: NDArray[np.int8]) -> NDArray[np.float32]:
        """Embeddings float32 (N, E) of integers (E, N)."""
        return np.ascontiguousarray(stored.T).astype(np.float32) * self.scale

    def read_cells(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings of cells inside the store, (N, E), NaN where there is none; each chunk is decoded once."""
        array = self._group["embedding"]
        stored = zarr_io.read_cells(zarr_io.engine_of(array), array, (rows, cols), (slice(None),))
        found = self.decode(stored)
        found[stored[0] == _NONE] = np.nan
        return found

    def empty(self, window: Window) -> NDArray[np.int8]:
        """An unwritten tile, (E, height, width)."""
        return np.full((len(self.scale), window.height, window.width), _NONE, np.int8)

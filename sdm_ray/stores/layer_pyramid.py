"""Coarser levels of a group of layers without species, such as indicators, laid out like those of a map.

A level is computed from the one below it. Numbers become means over the cells that have a value, weighted by the cells
of level 0 that they stand for, counts rounded to whole numbers; classes (see `layer_classes`) become the commonest
class of the four cells below. `cell_count(y, x)` holds for how many cells of level 0 with a value in any layer a cell
stands, `layer_cell_count(layer, y, x)` for how many with a value in each layer, which may have gaps of its own; a layer
with further axes has a row for each of its planes.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.block_means import block_means, block_modes, block_sums
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import raster, zarr_io
from sdm_ray.stores.layer_classes import is_categorical
from sdm_ray.stores.pyramid import COUNT, describe_levels, level_grid
from sdm_ray.stores.raster import ArraySpec, Group
from sdm_ray.stores.zarr_io import Index

LAYER_COUNT = "layer_cell_count"
Array = NDArray[Any]


def create_layer_levels(path: UPath, levels: int) -> None:
    """Make empty coarser levels of the layers in `0/`, and describe all levels in `multiscales`."""
    finest = raster.open_group(path / "0")
    grid, layers = raster.read_grid(finest), _layers(finest)
    axes = sorted({axis for array in layers.values() for axis in _leading(array)})
    coords = {axis: finest[axis][:].tolist() for axis in axes}
    coords["layer"] = [name for name, array in layers.items() for _ in range(prod(array.shape[:-2]))]
    for level in range(1, levels + 1):
        group = raster.create(path / str(level), level_grid(grid, level), coords, {"title": f"level {level}"})
        for name, array in layers.items():
            raster.add_array(group, name, _spec(array))
        some = next(iter(layers.values()))
        raster.add_array(group, COUNT, _count_spec(some))
        raster.add_array(group, LAYER_COUNT, _layer_count_spec(some, len(coords["layer"])))
    describe_levels(path, grid, levels)


def fill_layer_level(path: UPath, level: int, window: Window) -> None:
    """Write a window of a coarser level, of whole Zarr shards, from the level below it."""
    finer, coarser = raster.open_group(path / str(level - 1)), raster.open_group(path / str(level), "r+")
    below = Window(2 * window.row, 2 * window.col, 2 * window.height, 2 * window.width)
    area = below.intersect(whole(raster.read_grid(finer)))
    layers = _layers(finer)
    stored = {name: zarr_io.read(zarr_io.engine_of(each), _part(each, area)) for name, each in layers.items()}
    planes = {name: _planes(each) for name, each in stored.items()}
    if level == 1:
        known = [~_is_missing(each, layers[name].fill_value) for name, each in planes.items()]
        counts: Array = np.concatenate(known)
        count: Array = np.asarray(counts.any(axis=0))
    else:
        counts = zarr_io.read(zarr_io.engine_of(finer[LAYER_COUNT]), (slice(None), *area.slices))
        count = zarr_io.read(zarr_io.engine_of(finer[COUNT]), area.slices)
    halved = np.stack([block_sums(each, 2) for each in counts]).astype(np.uint32)
    parts: dict[str, tuple[Index, Array]] = {
        COUNT: (window.slices, block_sums(count, 2).astype(np.uint32)),
        LAYER_COUNT: ((slice(None), *window.slices), halved),
    }
    number = iter(counts)
    for name, values in planes.items():
        made = np.stack([_coarser(layers[name], plane, next(number)) for plane in values])
        parts[name] = (_part(layers[name], window), made.reshape(*stored[name].shape[:-2], *made.shape[-2:]))
    zarr_io.write(coarser, parts)


def _planes(values: Array) -> Array:
    """All planes of rows and columns of a layer, (N, height, width)."""
    return values.reshape(-1, *values.shape[-2:])


def _part(array: Group, window: Window) -> Index:
    return (*[slice(None)] * (array.ndim - 2), *window.slices)


def _coarser(array: Group, values: Array, counts: Array) -> Array:
    """One plane of a layer, halved; cells count as many times as cells of level 0 with a value, 0 where it has none."""
    if is_categorical(array.attrs):
        return block_modes(values, 2, array.fill_value)
    means = block_means(np.where(counts > 0, values, np.nan), 2, counts)
    if np.issubdtype(array.dtype, np.floating):
        return means.astype(array.dtype)
    return np.where(np.isnan(means), array.fill_value, np.rint(means)).astype(array.dtype)


def _is_missing(values: Array, fill: float) -> NDArray[np.bool_]:
    return np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.asarray(values == fill)


def _layers(group: Group) -> dict[str, Group]:
    """Arrays with rows and columns, without the counts of cells."""
    found = {name: array for name, array in group.arrays() if name not in (COUNT, LAYER_COUNT)}
    return {name: array for name, array in sorted(found.items()) if _dimensions(array)[-2:] == ("y", "x")}


def _leading(array: Group) -> tuple[str, ...]:
    return _dimensions(array)[:-2]


def _dimensions(array: Group) -> tuple[str, ...]:
    return tuple(array.metadata.dimension_names or ())


def _spec(array: Group) -> ArraySpec:
    """How a layer is laid out, for another grid."""
    fill = array.fill_value
    fill = float(fill) if np.issubdtype(array.dtype, np.floating) else int(fill)
    named = {name: value for name, value in array.attrs.items() if name not in ("grid_mapping", "_FillValue")}
    return ArraySpec(str(array.dtype), array.chunks, array.shards, _leading(array), fill, named)


def _count_spec(array: Group) -> ArraySpec:
    """How counts of cells are laid out, as a layer is."""
    text = {"long_name": "number of cells of level 0 with a value that a cell stands for", "units": "1"}
    return ArraySpec("uint32", array.chunks[-2:], array.shards and array.shards[-2:], fill=0, attrs=text)


def _layer_count_spec(array: Group, planes: int) -> ArraySpec:
    """How counts of cells of each plane of the layers are laid out."""
    text = {"long_name": "number of cells of level 0 with a value of a layer that a cell stands for", "units": "1"}
    shards = array.shards and (planes, *array.shards[-2:])
    return ArraySpec("uint32", (1, *array.chunks[-2:]), shards, ("layer",), 0, text)

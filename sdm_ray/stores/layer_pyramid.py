"""Coarser levels of a group of layers without species, such as indicators, laid out like those of a map.

A level is computed from the one below it. Numbers become means over the cells that have a value, weighted by the cells
of level 0 that they stand for, counts rounded to whole numbers; classes, which are layers with `flag_values` or
`flag_masks`, become the commonest class of the four cells below. `cell_count(y, x)` holds for how many cells of level 0
with a value in any layer a cell stands.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.block_means import block_means, block_modes, block_sums
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import raster, zarr_io
from sdm_ray.stores.pyramid import COUNT, describe_levels, level_grid
from sdm_ray.stores.raster import ArraySpec, Group
from sdm_ray.stores.zarr_io import Index

Array = NDArray[Any]
_CLASSES = ("flag_values", "flag_masks")


def create_layer_levels(path: UPath, levels: int) -> None:
    """Make empty coarser levels of the layers in `0/`, and describe all levels in `multiscales`."""
    finest = raster.open_group(path / "0")
    grid, layers = raster.read_grid(finest), _layers(finest)
    axes = sorted({axis for array in layers.values() for axis in _leading(array)})
    coords = {axis: finest[axis][:].tolist() for axis in axes}
    for level in range(1, levels + 1):
        group = raster.create(path / str(level), level_grid(grid, level), coords, {"title": f"level {level}"})
        for name, array in layers.items():
            raster.add_array(group, name, _spec(array))
        raster.add_array(group, COUNT, _count_spec(next(iter(layers.values()))))
    describe_levels(path, grid, levels)


def fill_layer_level(path: UPath, level: int, window: Window) -> None:
    """Write a window of a coarser level, of whole Zarr shards, from the level below it."""
    finer, coarser = raster.open_group(path / str(level - 1)), raster.open_group(path / str(level), "r+")
    below = Window(2 * window.row, 2 * window.col, 2 * window.height, 2 * window.width)
    area = below.intersect(whole(raster.read_grid(finer)))
    layers = _layers(finer)
    stored = {name: zarr_io.read(zarr_io.engine_of(each), _part(each, area)) for name, each in layers.items()}
    missing = {name: _is_missing(each, layers[name].fill_value) for name, each in stored.items()}
    if level == 1:
        counts: Array = ~np.all([_planes(each).all(axis=0) for each in missing.values()], axis=0)
    else:
        counts = zarr_io.read(zarr_io.engine_of(finer[COUNT]), area.slices)
    parts: dict[str, tuple[Index, Array]] = {COUNT: (window.slices, block_sums(counts, 2).astype(np.uint32))}
    for name, values in stored.items():
        planes = zip(_planes(values), _planes(missing[name]), strict=True)
        made = np.stack([_coarser(layers[name], *plane, counts) for plane in planes])
        parts[name] = (_part(layers[name], window), made.reshape(*values.shape[:-2], *made.shape[-2:]))
    zarr_io.write(coarser, parts)


def _planes(values: Array) -> Array:
    """All planes of rows and columns of a layer, (N, height, width)."""
    return values.reshape(-1, *values.shape[-2:])


def _part(array: Group, window: Window) -> Index:
    return (*[slice(None)] * (array.ndim - 2), *window.slices)


def _coarser(array: Group, values: Array, missing: Array, counts: Array) -> Array:
    """One plane of a layer, halved."""
    if any(name in array.attrs for name in _CLASSES):
        return block_modes(values, 2, array.fill_value)
    means = block_means(np.where(missing, np.nan, values), 2, counts)
    if np.issubdtype(array.dtype, np.floating):
        return means.astype(array.dtype)
    return np.where(np.isnan(means), array.fill_value, np.rint(means)).astype(array.dtype)


def _is_missing(values: Array, fill: float) -> NDArray[np.bool_]:
    return np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.asarray(values == fill)


def _layers(group: Group) -> dict[str, Group]:
    """Arrays with rows and columns, without the counts of cells."""
    found = {name: array for name, array in group.arrays() if name != COUNT}
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

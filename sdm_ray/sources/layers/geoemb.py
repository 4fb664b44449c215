"""Embeddings in Zarr groups with the attributes of the `geoemb:` convention, such as those that `embed` writes.

The root group holds the attributes (github.com/geo-embeddings/embeddings-zarr-convention, version 1); the array of the
embeddings lies in it or in groups below it, one for each UTM zone, which say their place by `proj:` and `spatial:`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.geo.windows import Window
from sdm_ray.sources.layers.embedding_mosaic import Pixels, Tiles
from sdm_ray.sources.layers.embeddings_config import EmbeddingTiles
from sdm_ray.stores import raster
from sdm_ray.stores.embedding_sources import EmbeddingSource, component_names

_ARRAYS = ("embeddings", "embedding")
_REQUIRED = ("geoemb:type", "geoemb:dimensions", "geoemb:model", "geoemb:source_data", "geoemb:data_type")


@dataclass(frozen=True)
class GeoembTile:
    """The embeddings of one group.

    Attributes:
        group: with the arrays.
        array: name of the embeddings'.
        axes: names of its axes; the one that is neither time, y nor x is that of the components.
        time: number of the year along the axis `time`.
        quantization: `geoemb:quantization`; empty where values are stored as they are.
        pixels: where its pixels lie.
    """

    group: Any
    array: str
    axes: tuple[str, ...]
    time: int
    quantization: dict[str, Any]
    pixels: Pixels

    def read(self, window: Window) -> NDArray[np.float32]:
        """Dequantised embeddings of a window, (C, height, width), NaN where there is none."""
        found = self._part(self.array, self.axes, window)
        empty = self.group[self.array].fill_value
        unknown = (found == empty).all(axis=0) if np.issubdtype(found.dtype, np.integer) and empty != 0 else None
        values = self._dequantised(found.astype(np.float32), window)
        if unknown is not None:
            values[:, unknown] = np.nan
        values[:, ~np.isfinite(values).all(axis=0)] = np.nan
        return values

    def _dequantised(self, values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
        scale = self.quantization.get("scale") or {}
        if scale.get("type") == "scalar":
            return np.asarray(values * np.float32(scale["scale"]) + np.float32(scale.get("offset", 0)), np.float32)
        if scale.get("type") == "array":
            name = str(scale["array_name"]).rpartition("/")[2]
            axes = tuple(self.group[name].metadata.dimension_names)
            factors = self._part(name, axes, window).astype(np.float32)
            if not {"y", "x"} & set(axes):
                factors = factors.reshape(-1, 1, 1)
            return np.asarray(values * np.where(np.isfinite(factors), factors, np.float32(np.nan)), np.float32)
        return values

    def _part(self, name: str, axes: tuple[str, ...], window: Window) -> NDArray[Any]:
        """A window of an array of any order of axes: components first, then y and x."""
        rows, cols = window.slices
        index = tuple({"time": self.time, "y": rows, "x": cols}.get(axis, slice(None)) for axis in axes)
        left = [axis for axis in axes if axis != "time"]
        order = sorted(range(len(left)), key=lambda axis: {"y": 1, "x": 2}.get(left[axis], 0))
        return np.asarray(self.group[name][index]).transpose(order)


def geoemb_tiles(entry: EmbeddingTiles) -> Tiles:
    """The groups of a store.

    Raises:
        InputError: it lacks an attribute of the convention, is quantised in a way that the convention does not
            describe, or lacks the year.
    """
    path = UPath(entry.places()[0])
    root = raster.open_group(path)
    attrs = dict(root.attrs)
    if missing := [name for name in _REQUIRED if name not in attrs]:
        raise InputError(f"{path}: has no attribute {missing[0]}; expected a group of the convention geoemb:")
    if attrs["geoemb:type"] != "pixel":
        raise InputError(f"{path}: geoemb:type is {attrs['geoemb:type']}; expected pixel")
    quantization = dict(attrs.get("geoemb:quantization") or {})
    if quantization and (quantization.get("scale") or {}).get("type") not in ("scalar", "array"):
        raise InputError(
            f"{path}: is quantised by {quantization.get('method')} without a scale; expected one that is a number or"
            " an array"
        )
    holding = [root, *(group for _, group in sorted(root.groups()))]
    found = [(group, name) for group in holding for name in _ARRAYS if name in group]
    if not found:
        raise InputError(f"{path}: holds no array {' or '.join(_ARRAYS)}, nor do its groups {few(list(root.keys()))}")
    tiles = [_tile(path, entry, group, name, attrs) for group, name in found]
    count = int(attrs["geoemb:dimensions"])
    source = EmbeddingSource(
        name=entry.name,
        version=entry.version or str(attrs["geoemb:model"]),
        year=entry.year,
        covariates=component_names(entry.name, count),
    )
    return Tiles(source, tiles, max(each.pixels.side_m() for each in tiles))


def _tile(path: UPath, entry: EmbeddingTiles, group: Any, name: str, root: dict[str, Any]) -> GeoembTile:  # noqa: ANN401 - zarr.Group
    attrs = {**root, **dict(group.attrs)}
    axes = tuple(str(axis) for axis in group[name].metadata.dimension_names or ())
    if not {"y", "x"} <= set(axes) or len(set(axes) - {"time"}) != 3:
        raise InputError(f"{path}: {name} has the axes {', '.join(axes) or 'none'}; expected components, y and x")
    components = group[name].shape[next(i for i, axis in enumerate(axes) if axis not in ("time", "y", "x"))]
    if components != attrs["geoemb:dimensions"]:
        raise InputError(f"{path}: {name} has {components} components, geoemb:dimensions {attrs['geoemb:dimensions']}")
    try:
        code, transform = str(attrs["proj:code"]), [float(each) for each in attrs["spatial:transform"]]
    except KeyError as missing:
        raise InputError(f"{path}: {group.name} has no attribute {missing}, so its place is not known") from None
    step, top = transform[0], transform[5]
    if transform[1] or transform[3] or transform[4] != -step:
        raise InputError(f"{path}: {group.name} has the transform {transform}; expected square pixels, north up")
    height, width = (group[name].shape[axes.index(axis)] for axis in ("y", "x"))
    pixels = Pixels(CRS.from_user_input(code), transform[2], top, step, width, height)
    return GeoembTile(
        group, name, axes, _time(path, entry, group), dict(attrs.get("geoemb:quantization") or {}), pixels
    )


def _time(path: UPath, entry: EmbeddingTiles, group: Any) -> int:  # noqa: ANN401 - zarr.Group
    """The number of the entry's year along the axis `time`; of a store without it the year has to be stated."""
    if entry.year is None:
        raise InputError(f"embeddings: {entry.name}: {path} does not tell its year from others; expected `year`")
    if "time" not in group:
        return 0
    years: list[int] = np.asarray(group["time"][:]).astype(int).tolist()
    if entry.year not in years:
        raise InputError(f"{path}: has no embeddings of {entry.year}; found {', '.join(map(str, years))}")
    return years.index(entry.year)

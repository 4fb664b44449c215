"""Zarr groups on the EU grid: the format that cubes, covariates, land masks and maps share.

Every group carries its coordinates, a CF grid mapping and the `proj:` and `spatial:` attributes, so that
`xarray.open_zarr`, rioxarray and GDAL read location and projection without this package.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from upath import UPath
from zarr.abc.store import Store
from zarr.codecs import ZstdCodec
from zarr.core.dtype import VariableLengthUTF8
from zarr.storage import FsspecStore, LocalStore

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import icechunk_repository
from sdm_ray.stores.files import first_line

if TYPE_CHECKING:
    import xarray

Mode = Literal["r", "r+", "w", "a"]
P = ParamSpec("P")
R = TypeVar("R")
_DAMAGED = (
    OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    MemoryError,  # of metadata that claim any size
)  # fmt: skip
_CONVENTIONS = {
    "proj": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "spatial": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    "multiscales": "d35379db-88df-4056-af3a-620245f8e347",
}  # their fixed identifiers, github.com/zarr-conventions
LEVELS = {
    "comment": "Level 0: xarray.open_zarr(path, group='0'); all levels: xarray.open_datatree(path, engine='zarr')"
}
"""Attribute of a root group whose arrays lie in groups of their own, one for each level."""
Group = Any  # zarr.Group or zarr.Array, whose members have no types that a checker could follow


@dataclass(frozen=True)
class ArraySpec:
    """How one array of a group is laid out; its last two axes are (y, x).

    Attributes:
        dtype: NumPy type.
        chunks: shape of the unit that is decoded.
        shards: shape of the unit that is written, a multiple of `chunks`; None for one object per chunk.
        leading: names of the axes before (y, x).
        fill: value of cells that were never written, decoded as missing.
        attrs: CF attributes (`long_name`, `units`, `scale_factor`, ...).
    """

    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    leading: tuple[str, ...] = ()
    fill: float | int | None = None
    attrs: dict[str, Any] = field(default_factory=dict)


def store_of(path: UPath, *, read_only: bool = False) -> Store:
    """The Zarr store of a local path or URL."""
    if path.protocol in ("", "file", "local"):
        return LocalStore(path.path, read_only=read_only)
    return FsspecStore.from_url(str(path), storage_options=dict(path.storage_options), read_only=read_only)


def _located(path: UPath, *, read_only: bool = False) -> tuple[Store, str]:
    """The store that a group lies in, and its path in there."""
    return icechunk_repository.find(path, read_only=read_only) or (store_of(path, read_only=read_only), "")


def open_root(path: UPath) -> Group:
    """Make or open a group that only holds other groups."""
    store, inner = _located(path)
    return zarr.open_group(store, path=inner, mode="a", zarr_format=3, use_consolidated=False)


def create(path: UPath, grid: Grid, coords: dict[str, Sequence[Any]], attrs: dict[str, Any]) -> Group:
    """Make an empty group with its coordinates; arrays that were there are removed.

    Args:
        path: folder or URL of the group.
        grid: its cells.
        coords: values of the axes before (y, x), such as species or band names.
        attrs: attributes of the group.
    """
    group = open_root(path)
    clear(group)
    group.attrs.put({**attrs, **place(grid), **conventions("proj", "spatial")})
    add_axis(group, "y", grid.y, {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"})
    add_axis(group, "x", grid.x, {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"})
    for name, values in coords.items():
        add_axis(group, name, values, {})
    mapping = group.create_array("spatial_ref", shape=(), dtype="int32")
    mapping.attrs.put(CRS.from_user_input(geo_grid.CRS).to_cf())
    return group


def clear(group: Group) -> None:
    """Remove the arrays and groups of a group; other files stay."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Object at")  # the mark of an unfinished artefact
        before = list(group.keys())
    for name in before:
        del group[name]


def add_array(group: Group, name: str, spec: ArraySpec) -> Group:
    """Make an array on the group's grid."""
    shape = tuple(group[axis].shape[0] for axis in (*spec.leading, "y", "x"))
    chunks = tuple(min(chunk, size) for chunk, size in zip(spec.chunks, shape, strict=True))
    shards = None
    if spec.shards:
        # A shard is whole chunks even where the grid is smaller than one.
        shards = tuple(
            -(-min(shard, size) // chunk) * chunk for shard, chunk, size in zip(spec.shards, chunks, shape, strict=True)
        )
    attrs = {"coordinates": "spatial_ref", **spec.attrs, "grid_mapping": "spatial_ref"}
    if isinstance(spec.fill, int):  # NaN needs no declaration
        attrs["_FillValue"] = spec.fill
    return group.create_array(
        name,
        shape=shape,
        dtype=spec.dtype,
        chunks=chunks,
        shards=shards,
        fill_value=spec.fill,
        compressors=[ZstdCodec(level=3)],
        dimension_names=[*spec.leading, "y", "x"],
        attributes=attrs,
    )


def write(
    path: UPath, grid: Grid, arrays: dict[str, tuple[ArraySpec, NDArray[Any]]], coords: dict[str, Sequence[Any]],
    attrs: dict[str, Any],
) -> None:  # fmt: skip
    """Write a whole group of arrays that fit in memory."""
    group = create(path, grid, coords, attrs)
    for name, (spec, values) in arrays.items():
        add_array(group, name, spec)[...] = values
    consolidate(path)


def open_group(path: UPath, mode: Mode = "r") -> Group:
    """Open a group.

    Raises:
        InputError: there is no group, or it has another Zarr format than 3.
    """
    try:
        store, inner = _located(path, read_only=mode == "r")
        return zarr.open_group(store, path=inner, mode=mode, zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError):
        raise InputError(f"{path}: no Zarr v3 group there") from None
    except _DAMAGED as error:
        raise InputError(f"{path}: is damaged, or no Zarr v3 group ({first_line(error)})") from None


@contextmanager
def readable(path: UPath, what: str) -> Iterator[None]:
    """Report in one line metadata or chunks that cannot be read.

    Raises:
        InputError: they are damaged, or not what they should be.
    """
    try:
        yield
    except _DAMAGED as error:
        found = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{path}: is damaged, or no {what} ({found}); make it again, or copy it again") from None


def reports_damage(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a store's methods that read, and of its constructor: see `readable`.

    The store's place is its `path`; that of a constructor its first argument.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def reading(*args: P.args, **kwargs: P.kwargs) -> R:
            store: Any = args[0]
            place = getattr(store, "path", None) or args[1]
            with readable(cast(UPath, place), what):
                return method(*args, **kwargs)

        return reading

    return decorate


def open_dataset(path: UPath) -> "xarray.Dataset":
    """A group as an xarray dataset; values are read when they are used."""
    import xarray  # nearly half a second of the start of every worker, which has no use for it

    store, inner = _located(path, read_only=True)
    data: xarray.Dataset = xarray.open_zarr(store, group=inner, consolidated=False, chunks=None)
    return data


def read_grid(group: Group) -> Grid:
    """The grid of a group, from its `spatial:` attributes.

    Raises:
        InputError: it has none, or has another projection.
    """
    attrs = group.attrs
    try:
        transform, shape, crs = attrs["spatial:transform"], attrs["spatial:shape"], attrs["proj:code"]
    except KeyError as missing:
        raise InputError(f"{group.store}: has no attribute {missing}; expected a group on the EU grid") from None
    if crs != geo_grid.CRS:
        raise InputError(f"{group.store}: has the projection {crs}, expected {geo_grid.CRS}")
    return Grid(transform[2], transform[5], transform[0], shape[1], shape[0])


def consolidate(path: UPath) -> None:
    """Consolidate the metadata of a finished group, once, by the driver; an Icechunk repository needs none."""
    if icechunk_repository.is_versioned(path):
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        warnings.filterwarnings("ignore", message="Object at")  # records, ledgers and pictures lie beside the arrays
        zarr.consolidate_metadata(store_of(path))


def by_chunk(rows: NDArray[np.int64], cols: NDArray[np.int64], chunk: int) -> list[NDArray[np.int64]]:
    """Positions of cells grouped by the chunk that they lie in, in the order of the chunks."""
    key = (rows // chunk) * (1 << 31) + cols // chunk
    order = np.argsort(key, kind="stable")
    breaks = np.flatnonzero(np.diff(key[order])) + 1
    return [group for group in np.split(order, breaks) if len(group)]


def require_aligned(window: Window, side: int, grid: Grid) -> None:
    """Refuse a window that cuts a unit of writing of `side` cells.

    Raises:
        ValueError: an edge lies neither on a multiple of `side` nor on the grid's edge, or the window is not wholly
            inside the grid.
    """
    if window.intersect(whole(grid)) != window or not window.size:
        raise ValueError(f"{window} is not inside the grid of {grid.height} x {grid.width} cells")
    bottom, right = window.row + window.height, window.col + window.width
    starts_ok = window.row % side == 0 and window.col % side == 0
    ends_ok = (bottom % side == 0 or bottom == grid.height) and (right % side == 0 or right == grid.width)
    if not (starts_ok and ends_ok):
        raise ValueError(f"{window} cuts a unit of writing of {side} cells")


def place(grid: Grid) -> dict[str, Any]:
    """The attributes for the location of a group's cells."""
    return {
        "proj:code": geo_grid.CRS,
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": [grid.height, grid.width],
        "spatial:transform": list(grid.transform),
        "spatial:bbox": list(grid.bounds),
    }


def conventions(*names: str) -> dict[str, Any]:
    """The attribute that lists the Zarr conventions of a group, with their identifiers."""
    address = "https://github.com/zarr-conventions/{}/blob/v1/README.md"
    return {"zarr_conventions": [{"uuid": _CONVENTIONS[n], "name": n, "spec_url": address.format(n)} for n in names]}


def add_axis(group: Group, name: str, values: Sequence[Any] | NDArray[Any], attrs: dict[str, Any]) -> None:
    """Make the coordinate of an axis: numbers or texts, (N,)."""
    text = len(values) > 0 and isinstance(values[0], str)
    array = np.asarray(values, dtype=object if text else None)
    made = group.create_array(
        name,
        shape=array.shape,
        dtype=VariableLengthUTF8() if text else array.dtype,  # fixed-width strings are unstable in Zarr v3
        chunks=(max(len(array), 1),),
        dimension_names=[name],
        attributes=attrs,
    )
    made[...] = array

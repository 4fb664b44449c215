"""Satellite patches of the challenges: JPEG trees of three bands and of one, and TIFF of four.

Their pixels are the publishers', and are not brought to one scale: JPEG are bytes, reflectance clipped
at 1, to the power of 1/2.5, times 255 (GeoPlant's documentation); TIFF are reflectance x 10,000 as we keep it.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import MemoryFile

from sdm_ray.errors import InputError
from sdm_ray.sources.geolifeclef.directory_trees import Tree, find_trees

_JPEG, _TIFF = r"[.]jpe?g", r"[.]tiff?"
_MODES = {"L": "nir", "RGB": "rgb"}
BANDS = ("red", "green", "blue", "nir")
_TAKEN = {"rgb": BANDS[:3], "nir": BANDS[3:], "rgbnir": BANDS}


@dataclass(frozen=True)
class Patches:
    """Patches by id, as bytes: JPEG as published, or `npy` (band, height, width) in the order red, green, blue, nir.

    Attributes:
        trees: of RGB JPEG, of NIR JPEG, of both in this order, or of TIFF.
        bands: `rgb`, `nir` or `rgbnir`.
        tiff: whether they are TIFF.
    """

    trees: tuple[Tree, ...]
    bands: str
    tiff: bool

    @property
    def ext(self) -> str:
        """Extension of the images: `jpg` or `npy`."""
        return "npy" if self.tiff or len(self.trees) > 1 else "jpg"

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """Each file is opened when it is read."""
        yield self._read

    def _read(self, key: str) -> bytes:
        files = [tree.read(key) for tree in self.trees]
        if self.tiff:
            return as_npy(reflectance(files[0], _TAKEN[self.bands]))
        if len(files) == 1:
            return files[0]
        stack = np.concatenate([_planes(each) for each in files])
        if len(stack) != len(BANDS):
            raise ValueError(f"has {len(stack)} bands, expected {len(BANDS)}")
        return as_npy(stack)


def find_patches(folder: str, bands: str, tiff: bool) -> Patches:
    """The patches at or under a folder.

    Raises:
        InputError: a tree that is needed is not there, or several could be meant.
    """
    found = [tree for tree in find_trees(folder, _TIFF if tiff else _JPEG) if tree.nested]
    if tiff:
        return Patches((_single(found, folder, "TIFF"),), bands, tiff)
    modes = [_mode(tree) for tree in found]
    wanted = ["rgb", "nir"] if bands == "rgbnir" else [bands]
    trees = [
        _single([tree for tree, mode in zip(found, modes, strict=True) if mode == each], folder, f"{each} JPEG")
        for each in wanted
    ]
    return Patches(tuple(trees), bands, tiff)


def reflectance(content: bytes, bands: tuple[str, ...] = BANDS) -> NDArray[np.uint16]:
    """A TIFF patch as reflectance x 10,000, (band, height, width), 0 where there is none.

    The files hold int16 at the scale that we keep (red, green and blue of a meadow 200 to 1,300, near infrared 3,600
    on average in the published sample, so without the offset of baseline 04.00), with -1 for no data. What is not
    above 0 becomes 0, which is Sentinel-2's own mark for no data.

    Args:
        content: the file's bytes.
        bands: names of the bands to take, in this order; files that name no bands have red, green, blue, nir.

    Raises:
        ValueError: it has other bands, holds no integers, or no pixel has a value.
        OSError: it cannot be decoded.
    """
    with MemoryFile(content) as memory, memory.open() as file:
        names = [str(name).lower() for name in file.descriptions]
        if file.count != len(BANDS):
            raise ValueError(f"has {file.count} bands, expected {len(BANDS)}")
        if any(file.descriptions) and set(names) != set(BANDS):
            raise ValueError(f"has bands {', '.join(names)}, expected {', '.join(BANDS)}")
        order = [(names if any(file.descriptions) else list(BANDS)).index(name) + 1 for name in bands]
        values, nodata = file.read(order), file.nodata
    if values.dtype.kind not in "iu":
        raise ValueError(f"holds {values.dtype}, expected integers")
    known = (values > 0) & (values != nodata)
    if not known.any():
        raise ValueError("no pixel has a value")
    return np.where(known, values, 0).astype(np.uint16)


def as_npy(values: NDArray[Any]) -> bytes:
    """An array as the bytes of an `npy` file; equal arrays give equal bytes."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values), allow_pickle=False)
    return file.getvalue()


def _planes(content: bytes) -> NDArray[np.uint8]:
    """A JPEG of one or three bands as (band, height, width)."""
    with Image.open(io.BytesIO(content)) as image:
        values = np.asarray(image)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def _mode(tree: Tree) -> str | None:
    """What a tree holds by its first readable file: folders of both trees may be called `RGB+NIR`."""
    for file in tree.some():
        try:
            with Image.open(io.BytesIO(file.read_bytes())) as image:
                return _MODES.get(image.mode)
        except (OSError, SyntaxError):
            continue
    return None


def _single(trees: list[Tree], folder: str, what: str) -> Tree:
    if not trees:
        raise InputError(f"{folder}: has no {what} patches; expected CD/AB/{{id}} in it or in a folder below")
    if len(trees) > 1:
        where = ", ".join(tree.folder for tree in trees)
        raise InputError(f"{folder}: has {len(trees)} trees of {what} patches ({where}); name one of these folders")
    return trees[0]

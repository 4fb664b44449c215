"""Photos and patches from image shards, decoded and augmented, by id."""

import datetime
import io
import math
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from upath import UPath

from sdm_ray.batch import Array, Batch, Floats, Ints
from sdm_ray.buffers import empty, keep_freed_memory
from sdm_ray.cores import usable_cores
from sdm_ray.errors import InputError
from sdm_ray.stores.shards import Shards
from sdm_ray.streams import keyed_random
from sdm_ray.streams.dataset import Part
from sdm_ray.streams.parts import Decoded

Augment = Literal["none", "dihedral", "photo"]
_CORES = usable_cores()
_PARTS = 4  # of a batch for each core, so that no core waits long for another
_GAP = 2.0  # large photos are first reduced by whole factors, to this many times the wanted size
_MOST_PIXELS = 1 << 28  # of an image: a large panorama, and 800 MB when it is decoded
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, OverflowError, MemoryError, struct.error, zlib.error)
_SMALLEST = 0.4  # share of a photo's area that a random crop keeps at least


@dataclass(frozen=True)
class ImageDataset:
    """Images of one scale.

    Attributes:
        shards: folder of the shards.
        scale: of the images.
        rows: row of the shards' index for each id, (n,).
        lonlat: WGS84 degrees, float64 (n, 2).
        place: place id, int64 (n,).
        size: side of the images that come out, pixels.
        augment: unless `none`, batches have random numbers for the augmentation on the device, by a key per (seed,
            epoch, id); `photo` also crops here.
        seed: of the augmentation.
        time: day of year and year, NaN where unknown, float32 (n, 2); None leaves it out of batches.
    """

    shards: str
    scale: str
    rows: Ints = field(repr=False)
    lonlat: Floats = field(repr=False)
    place: Ints = field(repr=False)
    size: int
    augment: Augment = "none"
    seed: int = 0
    time: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, rows: Ints, *, plain: bool = False) -> "ImageDataset":
        """Some of these images; `plain` without augmentation."""
        time = None if self.time is None else self.time[rows]
        part = replace(self, rows=self.rows[rows], lonlat=self.lonlat[rows], place=self.place[rows], time=time)
        return replace(part, augment="none") if plain else part

    def parts(self) -> list[Part]:
        """Images, which are decoded."""
        return [Decoded(self.read)]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """`image_<scale>` uint8 (N, 3, size, size), or as stored where it is an array; `lonlat`; `place`."""
        key = keyed_random.keys(self.seed, epochs, ids)
        images = self._images(self.rows[ids], crops(key) if self.augment == "photo" else None)
        batch = Batch({"lonlat": self.lonlat[ids], f"image_{self.scale}": images, "place": self.place[ids]})
        if self.time is not None:
            batch["time"] = self.time[ids]
        if self.augment != "none":
            batch[f"draws_{self.scale}"] = keyed_random.table(key)
        return batch

    def _images(self, rows: np.ndarray, boxes: np.ndarray | None) -> np.ndarray:
        """Images (N, B, size, size), decoded by all cores straight into the batch."""
        if len(rows) == 0:
            return self._images(self.rows[:1], None)[:0]
        keep_freed_memory()
        source = _open(self.shards)
        files, exts = source.read(rows), source.extensions(rows)

        def decoded(i: int) -> np.ndarray:
            return self._decode(files[i], exts[i], rows[i], None if boxes is None else boxes[i])

        def put(some: np.ndarray) -> None:
            for i in some:
                image = decoded(i)
                if image.shape != first.shape:
                    key = source.index["key"].iloc[rows[i]]
                    found = f"{image.shape}, others of its scale {first.shape}"
                    raise InputError(f"{self.shards}: image {key}.{exts[i]} has shape {found}")
                images[i] = image

        first = decoded(0)
        if exts[0] == "npy":
            images = empty((len(rows), *first.shape), first.dtype)
        else:  # channels last, as photos are decoded: the device transposes them faster than this process
            images = empty((len(rows), self.size, self.size, 3), np.uint8).transpose(0, 3, 1, 2)
        images[0] = first
        list(_threads().map(put, np.array_split(np.arange(1, len(rows)), _PARTS * _CORES)))
        return images

    def _decode(self, data: bytes, ext: str, row: int, box: np.ndarray | None) -> np.ndarray:
        try:
            if ext == "npy":
                return _square(_array(data), self.size)
            return _photo(data, self.size, box)
        except _UNREADABLE as error:
            key = _open(self.shards).index["key"].iloc[row]
            raise InputError(f"{self.shards}: image {key}.{ext} cannot be decoded ({error})") from None


def photos_of(
    shards: UPath, scale: str, size: int, augment: Augment = "none", seed: int = 0, *, times: bool = False
) -> ImageDataset:
    """All images of one scale in shards, with their times where asked for.

    Raises:
        InputError: the shards cannot be read or hold no image of the scale.
    """
    source = Shards(shards)
    rows = source.of_scale(scale)
    index = source.index.iloc[rows]
    lonlat, place = index[["lon", "lat"]].to_numpy(np.float64), index["place_id"].to_numpy(np.int64)
    time = days_and_years(index["date"].tolist()) if times else None
    return ImageDataset(str(shards), scale, rows, lonlat, place, size, augment, seed, time)


def days_and_years(dates: Sequence[str]) -> np.ndarray:
    """Day of year and year of ISO dates, float32 (n, 2); NaN where a date, such as `2018` or "", lacks them."""
    found = np.full((len(dates), 2), np.nan, np.float32)
    for number, date in enumerate(dates):
        if len(date) >= 10:
            day = datetime.date.fromisoformat(date[:10])
            found[number] = day.timetuple().tm_yday, day.year
        elif date[:4].isdigit():
            found[number, 1] = int(date[:4])
    return found


def crops(key: np.ndarray) -> np.ndarray:
    """Random crops: left, upper, right, lower as shares of width and height, (N, 4)."""
    area = _SMALLEST + (1 - _SMALLEST) * keyed_random.uniform(key, 0)
    ratio = np.exp((keyed_random.uniform(key, 1) * 2 - 1) * np.log(4 / 3))
    width = np.minimum(1, np.sqrt(area * ratio))
    height = np.minimum(1, np.sqrt(area / ratio))
    left, upper = keyed_random.uniform(key, 2) * (1 - width), keyed_random.uniform(key, 3) * (1 - height)
    return np.stack([left, upper, left + width, upper + height], axis=1)


def _photo(data: bytes, size: int, box: np.ndarray | None) -> np.ndarray:
    from PIL import Image

    share = 1.0 if box is None else min(box[2] - box[0], box[3] - box[1])
    pixels = _pixels(data, math.ceil(size / share))
    height, width = pixels.shape[:2]
    if box is not None:
        part = tuple(np.maximum(box, 0) * [width, height, width, height])
    else:  # the centred square
        side = min(width, height)
        part = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    if part[2] - part[0] == part[3] - part[1] == size and part[0] % 1 == part[1] % 1 == 0:
        left, upper = int(part[0]), int(part[1])
        pixels = pixels[upper : upper + size, left : left + size]  # copied once, into the batch
    else:
        image = Image.fromarray(pixels)
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=part, reducing_gap=_GAP))
    return pixels.transpose(2, 0, 1)


def _pixels(data: bytes, least: int) -> np.ndarray:
    """Pixels (height, width, 3) of an image; a JPEG at a half, a quarter or an eighth if `least` pixels remain.

    simplejpeg decodes the same pixels as Pillow in two thirds of the time. Files that it refuses are left to Pillow,
    which accepts harmless faults and raises an error for others.
    """
    import simplejpeg
    from PIL import Image

    with suppress(ValueError):
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > _MOST_PIXELS:
            raise OSError(f"{width} x {height} pixels, expected {_MOST_PIXELS:,} at most")
        part = next(part for part in (8, 4, 2, 1) if part == 1 or min(height, width) >= part * least)
        if colours not in ("CMYK", "YCCK"):
            sides = {"min_height": -(-height // part), "min_width": -(-width // part)}
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB", **sides))
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise OSError(f"{image.width} x {image.height} pixels, expected {_MOST_PIXELS:,} at most")
        return np.asarray(image.convert("RGB"))


def _array(data: bytes) -> np.ndarray:
    """The array of an .npy file, whose header may claim any size."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"an array of shape {shape} and {dtype} in {len(data)} bytes")
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def _square(image: np.ndarray, size: int) -> np.ndarray:
    """The centre of a (B, H, W) array; what is smaller is padded with 0, nodata."""
    if image.ndim != 3:
        raise ValueError(f"shape {image.shape}, expected band, height, width")
    out = np.zeros((len(image), size, size), np.float32)
    height, width = min(size, image.shape[1]), min(size, image.shape[2])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    down, right = (size - height) // 2, (size - width) // 2
    out[:, down : down + height, right : right + width] = image[:, top : top + height, left : left + width]
    return out


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_CORES, thread_name_prefix="photos")


@lru_cache(maxsize=8)
def _open(folder: str) -> Shards:
    return Shards(UPath(folder))

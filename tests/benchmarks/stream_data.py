"""What bench_streams.py reads: a cube and a GeoTIFF of real pixels, and photos in shards."""

import io
import os
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import Affine
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles
from sdm_ray.stores import raster
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.shards import Sample, write_index, write_shard

BANDS = ["blue", "green", "red", "nir"]
CHUNK, SHARD = 256, 2048
WEST, NORTH, PIXEL = 3_000_000.0, 4_500_000.0, 10.0
DATA = Path(os.environ["SDM_RAY_DATA"])


def cube(folder: Path, side: int) -> Path:
    """A cube of the real Sentinel-2 tiles, turned, flipped and made brighter or darker: no two chunks are equal."""
    path = folder / f"cube-{side}.zarr"
    if (path / "whole").exists():
        return path
    scenes = [rasterio.open(file).read() for file in sorted((DATA / "sentinel2-uk").glob("*.tif"))]
    create_cube(UPath(path), Grid(WEST, NORTH, PIXEL, side, side), ["2019-summer"], BANDS, CHUNK, SHARD)
    store, rng = Cube(UPath(path), writable=True), np.random.default_rng(0)
    for tile in tiles(store.grid, SHARD):
        window = tile.window
        pixels = np.empty((len(BANDS), window.height, window.width), np.uint16)
        for row in range(0, window.height, CHUNK):
            for col in range(0, window.width, CHUNK):
                scene = np.rot90(scenes[rng.integers(len(scenes))], rng.integers(4), axes=(1, 2))
                pixels[:, row : row + CHUNK, col : col + CHUNK] = scene * rng.uniform(0.85, 1.15)
        store.write(window, 0, pixels, np.ones((window.height, window.width), np.uint8))
    raster.consolidate(UPath(path))
    (path / "whole").touch()
    return path


def wide_cube(folder: Path, base: Path, times: int) -> Path:
    """A cube `times` as wide and high whose shards are hard links to those of `base`: more chunks, no more bytes."""
    grid = Cube(UPath(base)).grid
    path = folder / f"cube-{grid.width * times}.zarr"
    if (path / "whole").exists():
        return path
    wide = Grid(WEST, NORTH, PIXEL, grid.width * times, grid.height * times)
    create_cube(UPath(path), wide, ["2019-summer"], BANDS, CHUNK, SHARD)
    source, target = base / "reflectance/c/0/0", path / "reflectance/c/0/0"
    count = grid.width // SHARD
    for row in range(count * times):
        (target / str(row)).mkdir(parents=True)
        for col in range(count * times):
            os.link(source / str(row % count) / str(col % count), target / str(row) / str(col))
    raster.consolidate(UPath(path))
    (path / "whole").touch()
    return path


def geotiff(folder: Path, base: Path) -> Path:
    """The cube's pixels as one tiled, zstd-compressed GeoTIFF with the same blocks."""
    path = folder / f"{base.stem}.tif"
    if path.exists():
        return path
    store = Cube(UPath(base))
    draft = path.with_suffix(".part.tif")
    profile = {
        "driver": "GTiff", "width": store.grid.width, "height": store.grid.height, "count": len(BANDS),
        "dtype": "uint16", "crs": "EPSG:3035", "transform": Affine(*store.grid.transform), "tiled": True,
        "blockxsize": CHUNK, "blockysize": CHUNK, "compress": "zstd", "bigtiff": "yes", "num_threads": 2,
    }  # fmt: skip
    with rasterio.open(draft, "w", **profile) as target:
        for tile in tiles(store.grid, SHARD):
            window = tile.window
            where = rasterio.windows.Window(window.col, window.row, window.width, window.height)
            target.write(store.read(Window(window.row, window.col, window.height, window.width)), window=where)
    draft.rename(path)
    return path


def photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Shards of JPEGs cut from the real field photos, each of another part of a photo."""
    path = folder / f"photos-{size[0]}"
    if (path / "index.parquet").exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    scenes = [Image.open(file).convert("RGB") for file in sorted((DATA / "lucas").rglob("*.jpg"))]
    scenes = [scene for scene in scenes if scene.width > size[0] and scene.height > size[1]]
    rng = np.random.default_rng(0)

    def sample(number: int) -> Sample:
        scene = scenes[number % len(scenes)]
        left, upper = rng.integers(scene.width - size[0]), rng.integers(scene.height - size[1])
        content = io.BytesIO()
        scene.crop((left, upper, left + size[0], upper + size[1])).save(content, "JPEG", quality=90)
        return Sample(f"photo-{number}", "jpg", content.getvalue(), "landscape", 5.0, 45.0, number)

    write_index(UPath(path), [write_shard(UPath(path), 0, map(sample, range(count)))])
    return path


def patches(folder: Path, count: int) -> Path:
    """Shards of the real 64-pixel patches of EuroSAT."""
    from zipfile import ZipFile

    path = folder / "patches"
    if (path / "index.parquet").exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    with ZipFile(DATA / "eurosat/patches.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][:count]
        samples = (
            Sample(f"patch-{number}", "jpg", archive.read(name), "satellite", 5.0, 45.0, number)
            for number, name in enumerate(names)
        )
        write_index(UPath(path), [write_shard(UPath(path), 0, samples)])
    return path

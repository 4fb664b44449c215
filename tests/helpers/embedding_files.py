"""Small files of precomputed embeddings in the formats of their publishers."""

from pathlib import Path

import numpy as np
import rasterio
import rasterio.enums
import rasterio.warp
from rasterio.transform import Affine, from_origin

UTM = "EPSG:32632"
WEST, NORTH = 500_000.0, 5_500_000.0


def alphaearth_cog(path: Path, stored: np.ndarray, left=WEST, top=NORTH, *, south_up=True, overviews=()) -> str:
    """An AlphaEarth file of bytes (64, height, width), rows from north to south, written as published: south up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = stored.shape[1:]
    place = Affine(10, 0, left, 0, 10, top - 10 * height) if south_up else from_origin(left, top, 10, 10)
    profile = {"driver": "GTiff", "dtype": "int8", "count": 64, "nodata": -128, "crs": UTM, "transform": place}
    with rasterio.open(
        path, "w", width=width, height=height, tiled=True, blockxsize=64, blockysize=64, **profile
    ) as file:
        file.write(stored[:, ::-1] if south_up else stored)
        for band in range(64):
            file.set_band_description(band + 1, f"A{band:02d}")
        if overviews:
            file.build_overviews(list(overviews), rasterio.enums.Resampling.nearest)
    return str(path)


def tessera_tile(folder: Path, lon: float, lat: float, year: int, stored: np.ndarray, scales: np.ndarray) -> None:
    """A tile as `geotessera download --format npy` leaves it: bytes (height, width, 128), scales and a land mask."""
    name = f"grid_{lon:.2f}_{lat:.2f}"
    place = folder / "global_0.1_degree_representation" / str(year) / name
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / f"{name}.npy", stored)
    np.save(place / f"{name}_scales.npy", scales)
    masks = folder / "global_0.1_degree_tiff_all"
    masks.mkdir(exist_ok=True)
    height, width = scales.shape[:2]
    left, top = rasterio.warp.transform("EPSG:4326", UTM, [lon - 0.05], [lat + 0.05])
    land = np.ones((height, width), np.uint8)
    land[-1] = 0  # the southernmost row is water
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": UTM}
    shift = from_origin(round(left[0], -1), round(top[0], -1), 10, 10)
    with rasterio.open(masks / f"{name}.tiff", "w", width=width, height=height, transform=shift, **profile) as file:
        file.write(land, 1)


def unit_bytes(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Bytes of AlphaEarth of random directions, (64, height, width)."""
    vectors = np.random.default_rng(seed).normal(size=(64, height, width))
    vectors /= np.linalg.norm(vectors, axis=0)
    return np.rint(np.sign(vectors) * np.sqrt(np.abs(vectors)) * 127.5).clip(-127, 127).astype(np.int8)

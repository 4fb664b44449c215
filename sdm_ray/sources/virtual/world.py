"""A virtual landscape whose true species probabilities are known.

The practice of "virtual species" (Hirzel et al. 2001; Meynard & Kaplan 2013, J. Biogeogr. 40:1-8; Leroy et al. 2016,
Ecography 39:599-607): species answer to the environment by functions that we choose, surveys are drawn from the
resulting probabilities, and a method is judged by what it gets back. Here the environment has two scales. Climate
varies over some 10 km and is what the covariates show; land cover varies over some 100 m to 3 km and is seen in
tiles and photos only.

Everything is a pure function of the seed and the configuration.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.sources.virtual.config import VirtualConfig
from sdm_ray.sources.virtual.random_field import smooth_field

FOREST, GRASS, CROP, WATER, BARE = range(5)
CLASSES = ("forest", "grass", "crop", "water", "bare")
CLIMATE = ("temperature_c", "moisture", "elevation_m")

_CLIMATE_SCALE_M = 9_000  # standard deviation of the kernel that smooths climate
_COVER_SCALES_M = ((1_800, 0.75), (350, 0.5), (90, 0.25))  # of land cover, with weights
_LAPSE_C_PER_M = -0.0065
_SIGNAL = 2.2  # standard deviation of the logits over land

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """The landscape; rows run north to south.

    Attributes:
        grid: cells of the map.
        pixels: pixels of the cube over the same area.
        climate: temperature, moisture and elevation of the pixels' coarser grid of map cells, with a margin to the
            south and east up to whole covariate cells, (3, n, n).
        cover: class of each pixel, uint8.
        sea: whether a pixel is sea, bool.
        parcel: number of the field that a pixel belongs to, int32.
        relief: elevation of each pixel, metres.
        fractions: share of each class in each cell, (5, height, width).
        land: whether a cell is land.
        logits: of each species in each cell, (S, height, width).
    """

    config: VirtualConfig
    seed: int
    grid: Grid
    pixels: Grid
    climate: Floats
    cover: NDArray[np.uint8]
    sea: NDArray[np.bool_]
    parcel: NDArray[np.int32]
    relief: Floats
    fractions: Floats
    land: NDArray[np.bool_]
    logits: Floats

    @property
    def probability(self) -> Floats:
        """True probability of occurrence of each species in each cell, (S, height, width), NaN at sea."""
        return np.where(self.land, special.expit(self.logits), np.float32(np.nan))

    def draw_places(
        self, count: int, rng: np.random.Generator, weight: Floats
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels drawn at random, row and column.

        Args:
            count: how many.
            rng: where chance comes from.
            weight: how likely each cell is, (height, width); water pixels are never drawn.
        """
        side = self.side
        share = np.where(self.land & (self.fractions[WATER] < 0.9), weight, 0).ravel().astype(np.float64)
        cells = rng.choice(share.size, count, p=share / share.sum())
        row, col = np.empty(count, np.int64), np.empty(count, np.int64)
        for i, cell in enumerate(cells):
            top, left = cell // self.grid.width * side, cell % self.grid.width * side
            dry = np.flatnonzero(self.cover[top : top + side, left : left + side] != WATER)
            inner = dry[rng.integers(len(dry))]
            row[i], col[i] = top + inner // side, left + inner % side
        return row, col

    @property
    def side(self) -> int:
        """Pixels along the side of a cell."""
        return round(self.config.resolution_m / self.config.pixel_m)

    def lonlat(self, row: NDArray[np.int64], col: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Degrees of the centres of pixels."""
        return to_lonlat(*self.pixels.centre(row, col))


@lru_cache(maxsize=1)
def build(config: VirtualConfig, seed: int) -> World:
    """Make the landscape."""
    step = config.resolution_m
    grid = Grid(config.west, config.south + config.cells * step, step, config.cells, config.cells)
    side = round(step / config.pixel_m)
    pixels = Grid(grid.x0, grid.y1, config.pixel_m, grid.width * side, grid.height * side)
    climate = _climate(config, _rng(seed, 0))
    relief = _to_pixels(climate[2], side, pixels.shape) + _relief_detail(pixels, _rng(seed, 1))
    cover, sea, parcel = _cover(config, climate, relief, _rng(seed, 2), pixels)
    fractions = fractions_of(cover, side)
    land = _block_mean(sea.astype(np.float32), side) < 0.5
    logits = responses(config, seed, climate[:, : grid.height, : grid.width], (fractions, fractions), land)
    return World(config, seed, grid, pixels, climate, cover, sea, parcel, relief, fractions, land, logits)


def covariate_cells(world: World) -> tuple[Grid, Floats]:
    """Climate as covariates: means over coarser cells with some error, NaN where a cell is all sea."""
    step = world.config.covariate_cells
    values = np.stack([_block_mean(layer, step) for layer in world.climate])
    rng = _rng(world.seed, 4)
    error = rng.normal(0, 0.12, values.shape) * values.std(axis=(1, 2), keepdims=True)
    values = (values + error).astype(np.float32)
    size = values.shape[1] * step
    land = np.ones((size, size), np.float32)  # the margin counts as land
    land[: world.grid.height, : world.grid.width] = world.land
    values[:, _block_mean(land, step) == 0] = np.nan
    grid = Grid(world.grid.x0, world.grid.y1, world.grid.resolution * step, values.shape[2], values.shape[1])
    return grid, values


def _rng(seed: int, *key: int) -> np.random.Generator:
    """One random stream for each part, so that a change of one part leaves the others unchanged."""
    return np.random.default_rng([seed, *key])


def _climate(config: VirtualConfig, rng: np.random.Generator) -> Floats:
    """Temperature (deg C), moisture (0 to 1) and elevation (m, negative is sea) of map cells with a margin."""
    size = -(-config.cells // config.covariate_cells) * config.covariate_cells
    shape = (size, size)
    scale = _CLIMATE_SCALE_M / config.resolution_m
    hills = smooth_field(shape, 0.7 * scale, rng)
    south, east = np.mgrid[0 : 1 : complex(size), 0 : 1 : complex(size)].astype(np.float32)
    # A coast in the west, hills rising to the east.
    elevation = 620 * east + 150 * hills - 420 * np.exp(-(((east + 0.02) / 0.12) ** 2)) + 60
    warmth = smooth_field(shape, scale, rng)
    temperature = 10.5 + 2.2 * (south - 0.5) + 1.3 * warmth + _LAPSE_C_PER_M * np.maximum(elevation, 0)
    wet = smooth_field(shape, scale, rng)
    moisture = special.expit(1.1 * wet + 0.9 * (0.5 - east) + 0.5 * hills)
    return np.stack([temperature, moisture, elevation]).astype(np.float32)


def _relief_detail(pixels: Grid, rng: np.random.Generator) -> Floats:
    coarse = smooth_field(pixels.shape, 900 / pixels.resolution, rng)
    return (28 * coarse + 9 * smooth_field(pixels.shape, 220 / pixels.resolution, rng)).astype(np.float32)


def _cover(
    config: VirtualConfig, climate: Floats, relief: Floats, rng: np.random.Generator, pixels: Grid
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int32]]:
    """Class, sea and parcel of each pixel: the class that scores highest, partly by climate, mostly by chance."""
    shape, side = pixels.shape, round(config.resolution_m / config.pixel_m)
    land = climate[2] > 0
    temperature, moisture, elevation = (
        _to_pixels((layer - layer[land].mean()) / layer[land].std(), side, shape) for layer in climate
    )
    parcel = _parcels(shape, config.pixel_m, rng)
    by_parcel = rng.standard_normal(parcel.max() + 1).astype(np.float32)[parcel]

    def patchy(*weights: float) -> Floats:
        field = np.zeros(shape, np.float32)
        for (metres, default), weight in zip(_COVER_SCALES_M, weights or (1, 1, 1), strict=True):
            field += default * weight * smooth_field(shape, metres / config.pixel_m, rng)
        return field

    score = np.empty((5, *shape), np.float32)
    score[FOREST] = 0.25 + 0.45 * moisture + 0.35 * elevation + 1.25 * patchy()
    score[GRASS] = 0.30 + 0.15 * moisture - 0.1 * temperature + 1.15 * patchy()
    score[CROP] = 0.05 + 0.5 * temperature - 0.45 * elevation + 1.05 * patchy() + 0.35 * by_parcel
    score[BARE] = -0.95 - 0.5 * moisture + 0.5 * elevation + 1.2 * patchy()
    score[WATER] = -1.75 + 0.35 * moisture - 0.35 * elevation + 1.3 * patchy(1, 1, 0.2)
    cover = score.argmax(axis=0).astype(np.uint8)
    sea = _reached_from_west(relief < 0)
    cover[sea] = WATER
    return cover, sea, parcel


def _reached_from_west(low: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sea: cells below 0 m that are connected to the western edge; depressions inland stay dry."""
    numbers, _ = ndimage.label(low)
    western = np.unique(numbers[:, 0])
    return np.isin(numbers, western[western > 0])


def _parcels(shape: tuple[int, int], pixel_m: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """Numbers of farm fields: a bent, slanted grid of some 300 m x 450 m."""
    down, across = np.indices(shape, dtype=np.float32) * np.float32(pixel_m)
    bend = 500 * smooth_field(shape, 1500 / pixel_m, rng)
    along = np.floor((across * 0.94 + down * 0.34 + bend) / 300).astype(np.int32)
    over = np.floor((down * 0.94 - across * 0.34 + bend) / 450 + 0.5 * (along % 2)).astype(np.int32)
    numbers = (along - along.min()) * (np.ptp(over) + 1) + over - over.min()
    return np.asarray(numbers, np.int32)


def responses(
    config: VirtualConfig, seed: int, climate: Floats, fractions: tuple[Floats, Floats], land: NDArray[np.bool_]
) -> Floats:
    """Logits of each species: unimodal in temperature, linear in moisture, elevation and shares of land cover.

    Args:
        config: of the landscape.
        seed: of the landscape.
        climate: of each cell, (3, height, width).
        fractions: shares of land cover that species' preferences are scaled by, and those that they respond to: the
            same, but for a landscape in which some land has changed since.
        land: whether a cell is land.
    """
    rng = _rng(seed, 3)
    temperature, moisture, elevation = climate
    warm = (temperature - temperature[land].mean()) / temperature[land].std()
    wet = (moisture - moisture[land].mean()) / moisture[land].std()
    high = (elevation - elevation[land].mean()) / elevation[land].std()
    usual, shares = (np.sqrt(each) for each in fractions)  # a little of a habitat is worth more than more of much
    count = config.species
    cover_share = np.clip(config.landcover_share + rng.permutation(np.linspace(-0.2, 0.2, count)), 0, 1)
    prevalence = rng.permutation(np.geomspace(0.05, 0.5, count))
    favourite = rng.permutation(np.arange(count) % 5)  # every class has its species
    out = np.empty((count, *land.shape), np.float32)
    for species in range(count):
        optimum, width = rng.normal(0, 0.9), rng.uniform(0.8, 1.6)
        by_climate = -((warm - optimum) ** 2) / (2 * width**2) + rng.normal(0, 0.5) * wet + rng.normal(0, 0.3) * high
        taste = rng.normal(0, 0.5, 5)
        taste[favourite[species]] += 2
        by_cover, now = np.tensordot(taste, usual, axes=1), np.tensordot(taste, shares, axes=1)
        climate_signal = np.sqrt(1 - cover_share[species]) * _standard(by_climate, land)
        signal, signal_now = (
            climate_signal + np.sqrt(cover_share[species]) * _standard(each, land, by_cover) for each in (by_cover, now)
        )
        scaled = _SIGNAL * _standard(signal, land)
        intercept = _intercept(scaled[land], prevalence[species])
        out[species] = _SIGNAL * _standard(signal_now, land, signal) + intercept
    return out


def _intercept(signal: Floats, prevalence: float) -> float:
    """The constant that makes the mean probability equal to the prevalence, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        if special.expit(signal + middle).mean() < prevalence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _standard(values: Floats, land: NDArray[np.bool_], usual: Floats | None = None) -> Floats:
    """Values scaled to mean 0 and deviation 1 over land, by their own or by the usual ones."""
    scale = (values if usual is None else usual)[land]
    spread = scale.std()
    return np.asarray((values - scale.mean()) / (spread if spread > 0 else 1))


def fractions_of(cover: NDArray[np.uint8], side: int) -> Floats:
    """Share of each class in each cell, (5, height, width)."""
    return np.stack([_block_mean((cover == each).astype(np.float32), side) for each in range(5)])


def _block_mean(values: Floats, side: int) -> Floats:
    rows, cols = values.shape[0] // side, values.shape[1] // side
    return np.asarray(values.reshape(rows, side, cols, side).mean(axis=(1, 3), dtype=np.float64), np.float32)


def _to_pixels(cells: Floats, side: int, shape: tuple[int, int]) -> Floats:
    """Cells to pixels by linear interpolation between the cells' centres."""
    down, across = ((np.arange(size, dtype=np.float32) + 0.5) / side - 0.5 for size in shape)
    lines = ndimage.map_coordinates(
        cells, np.meshgrid(down, np.arange(cells.shape[1], dtype=np.float32), indexing="ij"), order=1, mode="nearest"
    )
    grid = np.meshgrid(np.arange(shape[0], dtype=np.float32), across, indexing="ij")
    return np.asarray(ndimage.map_coordinates(lines, grid, order=1, mode="nearest"), np.float32)

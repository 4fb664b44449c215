"""Virtual landscapes of two dates with a planted management, a satellite, surveys, and models fitted on them.

The landscape (climate, land cover) is that of `sdm_ray.sources.virtual`. Parcels of 2 x 2 km are treated with a
probability that rises with their forest and falls with their elevation. Between the dates forest is lost in warm and
high places and gained elsewhere, everywhere; treated parcels lose a share of their forest to grass besides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit

from sdm_ray.baselines.ridge import Regressions
from sdm_ray.impact.study import Study
from sdm_ray.sources.virtual.config import VirtualConfig
from sdm_ray.sources.virtual.random_field import smooth_field
from sdm_ray.sources.virtual.world import FOREST, GRASS, build

CELLS, SIDE, SPECIES = 80, 2, 12
SPECTRA = np.array(
    [
        [240, 420, 300, 2900, 1500, 700],
        [430, 760, 580, 3500, 2500, 1400],
        [640, 980, 1080, 2800, 2700, 2100],
        [420, 400, 260, 110, 60, 30],
        [1150, 1480, 1850, 2500, 3200, 2700],
    ]
)  # blue to short-wave infrared reflectance x 10,000 of forest, grass, crop, water and bare ground
RIPE = np.array([820, 1240, 1620, 2700, 3200, 2400])  # of crop late in the season
GAIN, OFFSET = np.array([0.9, 1.0, 0.88, 1.08, 1.05, 0.95]), np.array([30, 20, 25, 60, 40, 30])  # of another sensor
NOISE = 0.01  # of the mean reflectance of a cell
BLOCK = 8  # cells along the side of the blocks of surveys that refits resample


Features = Callable[["Landscape", np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """What happens between the dates.

    Attributes:
        lost: share of their forest that treated parcels lose to grass.
        shift: whether the second date shows another season and sensor: greener, darker, other gains.
    """

    lost: float = 0.0
    shift: bool = False


class Landscape:
    """One landscape: its parcels, their treatment, true probabilities and what the model sees of it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 500])
        config = VirtualConfig(cells=CELLS, pixel_m=200, west=4_224_000, south=2_880_000)
        self.world = build(config, seed)
        shape = self.world.grid.shape
        climate = self.world.climate[:, : shape[0], : shape[1]]
        land = self.world.land
        self.climate = np.stack([(each - each[land].mean()) / each[land].std() for each in climate])
        self.species = _draw_species(self.rng)
        self.noise = [self.rng.normal(0, 1, (SPECTRA.shape[1], *shape)) for _ in range(2)]
        self.ripe = [self.rng.uniform(0, 0.3) for _ in range(2)]
        self.drift = 0.15 * smooth_field(shape, 6, self.rng) - 0.08 * self.climate[0] - 0.08 * self.climate[2]
        whole = self._means(land.astype(float)) == 1
        self.parcels = np.flatnonzero(whole.ravel())
        forest, height = (
            self._means(each).ravel()[self.parcels] for each in (self.fractions(0)[FOREST], self.climate[2])
        )
        logit = -1.6 + 1.2 * (forest - forest.mean()) / forest.std() - 0.6 * height
        self._chance = expit(logit)
        self.treated = self.rng.random(len(self.parcels)) < self._chance

    def expected_effect(self, lost: float) -> float:
        """Effect on richness, mean over parcels in proportion to their chance of being treated.

        The parcels that were treated are one draw of those; an interval from resampled places is about all of them.
        """
        everywhere = self.probability(1, lost, np.ones(len(self.parcels))) - self.probability(1)
        return float(np.average(self.of_parcels(everywhere.sum(axis=0)), weights=self._chance))

    def fractions(self, date: int, lost: float = 0.0, treated: np.ndarray | None = None) -> np.ndarray:
        """Shares of the classes of land cover in each cell, (5, height, width).

        Args:
            date: 0 or 1.
            lost: share of their forest that treated parcels have lost at date 1.
            treated: which parcels are, (N,); by default the landscape's.
        """
        shares = self.world.fractions.astype(np.float64).copy()
        if date:
            change = np.clip(self.drift, -0.4, 0.4)
            self._move(shares, np.where(change < 0, -change * shares[FOREST], -change * shares[GRASS]))
            self._move(shares, lost * shares[FOREST] * self._cells_of(self.treated if treated is None else treated))
        return shares

    def probability(self, date: int, lost: float = 0.0, treated: np.ndarray | None = None) -> np.ndarray:
        """True probability of each species, (S, height, width); arguments as of `fractions`."""
        optimum, width, wet, taste, level = self.species
        warm, moist = self.climate[0], self.climate[1]
        logits = -((warm - optimum[:, None, None]) ** 2) / (2 * width[:, None, None] ** 2) + wet[:, None, None] * moist
        return expit(
            logits + np.tensordot(taste, np.sqrt(self.fractions(date, lost, treated)), axes=1) + level[:, None, None]
        )

    def image(self, date: int, scenario: Scenario) -> np.ndarray:
        """Reflectance of the bands, (6, height, width)."""
        spectra = SPECTRA.astype(float)
        spectra[2] += self.ripe[date] * (RIPE - SPECTRA[2])
        bands = np.tensordot(spectra.T, self.fractions(date, scenario.lost if date else 0.0), axes=1)
        bands = bands * (1 + NOISE * self.noise[date])
        if date and scenario.shift:
            bands = bands * GAIN[:, None, None] + OFFSET[:, None, None]
        return bands

    def of_parcels(self, values: np.ndarray) -> np.ndarray:
        """Means over each parcel, (N,)."""
        return self._means(values).ravel()[self.parcels]

    def study(self, maps: np.ndarray, draws: np.ndarray | None, image: np.ndarray) -> Study:
        """The question: maps of richness of both dates (2, height, width), matched on climate and the first image."""
        outcome = np.stack([self.of_parcels(each) for each in maps], axis=1)
        every = (
            None if draws is None else np.stack([[self.of_parcels(m) for m in each] for each in draws]).swapaxes(1, 2)
        )
        row, col = np.divmod(self.parcels, CELLS // SIDE)
        bands = [self.of_parcels(each) for each in [*image, _greenness(image)]]
        covariates = np.stack([*(self.of_parcels(each) for each in self.climate), *bands], axis=1)
        return Study(
            ids=self.parcels.astype(str),
            x=(col + 0.5) * SIDE * 1000.0,
            y=-(row + 0.5) * SIDE * 1000.0,
            treated=self.treated,
            date=np.where(self.treated, 2015.0, np.nan),
            years=np.array([2010.0, 2020.0]),
            outcome=outcome,
            covariates=covariates,
            names=(
                "temperature",
                "moisture",
                "elevation",
                "blue",
                "green",
                "red",
                "nir",
                "swir1",
                "swir2",
                "greenness",
            ),
            exact=np.zeros(len(self.parcels), np.int64),
            draws=every,
        )

    def _means(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(CELLS // SIDE, SIDE, CELLS // SIDE, SIDE).mean(axis=(1, 3))

    def _cells_of(self, parcels: np.ndarray) -> np.ndarray:
        """Values of parcels (N,) in their cells, (height, width)."""
        flags = np.zeros((CELLS // SIDE) ** 2)
        flags[self.parcels] = parcels
        return np.kron(flags.reshape(CELLS // SIDE, -1), np.ones((SIDE, SIDE)))

    @staticmethod
    def _move(shares: np.ndarray, amount: np.ndarray) -> None:
        shares[FOREST] -= amount
        shares[GRASS] += amount


class Surveys:
    """Surveys of presence and absence at the first date, and blocks of them that are resampled.

    Args:
        landscape: surveyed on land at random.
        count: number of surveys.
    """

    def __init__(self, landscape: Landscape, count: int) -> None:
        rng = landscape.rng
        cells = rng.choice(np.flatnonzero(landscape.world.land.ravel()), count)
        probability = landscape.probability(0).reshape(SPECIES, -1)[:, cells]
        self.cells = cells
        self.labels = (rng.random(probability.shape) < probability).T.astype(np.float32)
        _, self._block = np.unique(cells // CELLS // BLOCK * CELLS + cells % CELLS // BLOCK, return_inverse=True)
        self._rng = rng

    def resampled(self) -> np.ndarray:
        """How often each survey counts when blocks are drawn with replacement, (N,)."""
        blocks = self._block.max() + 1
        return self._rng.multinomial(blocks, np.full(blocks, 1 / blocks))[self._block]


class Regression:
    """Logistic regressions of all species, on all surveys and on resampled blocks of them.

    Args:
        landscape: surveyed at the first date.
        surveys: presences and absences.
        members: number of refits, whose maps are the joint draws of the model's error.
        features: what cells are described by, from the landscape and an image.
    """

    def __init__(self, landscape: Landscape, surveys: Surveys, members: int, features: Features) -> None:
        self.landscape, self._features = landscape, features
        x = features(landscape, landscape.image(0, Scenario()))[surveys.cells]
        self._mean, self._std = x.mean(axis=0), x.std(axis=0)
        standard = torch.from_numpy(((x - self._mean) / self._std).astype(np.float32))
        labels, self._fits = torch.from_numpy(surveys.labels), []
        for weight in [np.ones(len(x)), *(surveys.resampled() for _ in range(members))]:
            rows = torch.from_numpy((weight / weight.sum()).astype(np.float32))[:, None].expand_as(labels)
            matrix, bias = Regressions(standard, labels, rows).fit(torch.full((SPECIES,), 1e-4))
            self._fits.append((matrix.numpy(), bias.numpy()))

    def richness(self, image: np.ndarray) -> np.ndarray:
        """Maps of expected richness: of the model, then of each refit, (1 + members, height, width)."""
        x = (self._features(self.landscape, image) - self._mean) / self._std
        return np.stack([expit(x @ matrix + bias).sum(axis=1).reshape(CELLS, CELLS) for matrix, bias in self._fits])


def unmixed(landscape: Landscape, image: np.ndarray) -> np.ndarray:
    """Roots of the shares of land cover, from spectral unmixing, and climate with its square, (cells, 8)."""
    bands = image.reshape(len(image), -1)
    weight = 1 / SPECTRA.mean(axis=0)[:, None]
    mixing = np.vstack([SPECTRA.T * weight, np.full((1, 5), 3.0)])  # the last row: shares add up to 1
    shares, *_ = np.linalg.lstsq(mixing, np.vstack([bands * weight, np.full((1, bands.shape[1]), 3.0)]), rcond=None)
    climate = landscape.climate[:2].reshape(2, -1)
    return np.vstack([np.sqrt(shares.clip(0, 1)), climate, climate[:1] ** 2]).T


def bands_as_they_are(landscape: Landscape, image: np.ndarray) -> np.ndarray:
    """Bands, greenness and climate with their squares and products: too stiff for species that answer to shares."""
    base = np.concatenate([image / 1000, 3 * _greenness(image)[None], landscape.climate[:2]])
    base = base.reshape(len(base), -1)
    first, second = np.triu_indices(len(base))
    return np.vstack([base, base[first] * base[second]]).T


def _greenness(image: np.ndarray) -> np.ndarray:
    return (image[3] - image[2]) / (image[3] + image[2])


def _draw_species(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Optimum and width in temperature, slope in moisture, taste for each class of land cover, and level."""
    optimum, width = rng.normal(0, 0.9, SPECIES), rng.uniform(0.8, 1.6, SPECIES)
    taste = rng.normal(0, 0.8, (SPECIES, 5))
    taste[np.arange(SPECIES), rng.permutation([FOREST] * 10 + [GRASS] * 2)] += 3
    return optimum, width, rng.normal(0, 0.5, SPECIES), taste, rng.uniform(-3.0, -1.0, SPECIES)

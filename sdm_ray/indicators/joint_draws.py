"""Joint draws of a map's errors: sums over zones and species, and their differences, with intervals that hold there.

A draw is a whole map of probabilities that could be the right one, q = Phi((a + f) / sqrt(1 - v)): a the quantile of
the mapped probability, f the sum of the error model's fields there and v its variance; the mean of q over draws is
the mapped probability. Draw number d of a place is the same in whatever zone, tile or order it is asked for. So draws
of any sums are added, subtracted and compared number by number, and quantiles are taken last.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sdm_ray.geo.grid import Floats
from sdm_ray.indicators.error_model import ErrorModel
from sdm_ray.indicators.fourier_fields import Fields, node_spacing, nodes_of
from sdm_ray.indicators.joint_moments import quantile

_ROWS = 4096  # places whose fields are in memory at once
_SPECIES = 64  # species likewise
_KEPT = 32  # blocks of species and ranges whose amplitudes are kept
Array = NDArray[np.float32]


@dataclass(frozen=True)
class ZoneDraws:
    """Draws of sums over zones.

    Attributes:
        expected: sum of the probabilities, (S, Z, D).
        variance: sum of q (1 - q), that of the number of presences given the probabilities, (S, Z, D).
    """

    expected: Array
    variance: Array

    def presences(self, seed: int = 0) -> Array:
        """Draws of numbers of presences, (S, Z, D): binomial with the mean and variance of the sum."""
        trials = np.rint(self.expected**2 / np.maximum(self.expected - self.variance, 1e-6)).clip(1)
        share = (self.expected / trials).clip(0, 1)
        drawn = [
            np.random.default_rng([seed, species]).binomial(n.astype(np.int64), p)
            for species, (n, p) in enumerate(zip(trials, share, strict=True))
        ]
        return np.stack(drawn).astype(np.float32)


class JointDraws:
    """Draws of the probabilities of places.

    Args:
        model: of the errors of the species, in the order of the probabilities.
        draws: how many.
        seed: another seed is other draws.
        site: whether what all species of one place share is drawn as well; it matters for sums of few places.
    """

    def __init__(self, model: ErrorModel, draws: int = 200, seed: int = 0, *, site: bool = False) -> None:
        self.model, self.draws, self.seed, self.site = model, draws, seed, site
        self._kept: dict[tuple[int, int, int], tuple[Fields, Array]] = {}

    def probabilities(self, x: Floats, y: Floats, probability: Array, species: slice) -> Iterator[Array]:
        """Draws of the probabilities of one species after another, (N, D) each.

        Args:
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).
            probability: mapped, (S, N).
            species: which of the model's they are.
        """
        for start in range(species.start, species.stop, _SPECIES):
            block = slice(start, min(start + _SPECIES, species.stop))
            own = slice(block.start - species.start, block.stop - species.start)
            yield from self._probabilities(x, y, probability[own], block)

    def _probabilities(self, x: Floats, y: Floats, probability: Array, species: slice) -> Iterator[Array]:
        model = self.model
        variance = model.spatial_variance[species]
        fields = [self._fields(x, y, number, species) for number in range(len(model.ranges_m))]
        if self.site:
            variance = variance + model.site_variance[species]
            east, north, which = nodes_of(x, y, 1.0)
            numbers = Fields.of_places(self.seed, east, north, model.site.shape[1], self.draws)
            fields.append((np.einsum("sk,vkd->vsd", model.site[species], numbers, optimize=True), which))
        scale = 1 / np.sqrt(1 - variance)
        for number, each in enumerate(probability):
            total = np.repeat(quantile(each).astype(np.float32)[:, None], self.draws, axis=1)
            for values, which in fields:
                total += values[:, number].take(which, axis=0)
            yield torch.special.ndtr(torch.from_numpy(total * scale[number])).numpy()

    def zone_sums(self, x: Floats, y: Floats, probability: Array, zones: csr_array) -> ZoneDraws:
        """Draws of sums over zones, of all species of the model.

        Args:
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).
            probability: mapped, (S, N).
            zones: weight of each place in each zone, such as the share of a cell, (Z, N).
        """
        shape = (len(probability), zones.shape[0], self.draws)
        expected, variance = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for start in range(0, len(x), _ROWS):
            part = slice(start, start + _ROWS)
            weights = zones[:, part]
            drawn = self.probabilities(x[part], y[part], probability[:, part], slice(0, shape[0]))
            for number, q in enumerate(drawn):
                expected[number] += weights @ q
                variance[number] += weights @ (q * (1 - q))
        return ZoneDraws(expected, variance)

    def _fields(self, x: Floats, y: Floats, number: int, species: slice) -> tuple[Array, NDArray[np.int64]]:
        """Sum of the fields of one range.

        Returns:
            Values of each species at the squares that places lie in, (V, S, D), and the square of each place, (N,).
        """
        fields, amplitudes = self._amplitudes(number, species)
        east, north, which = nodes_of(x, y, node_spacing(fields.range_m))
        features = fields.waves.at(east, north)
        values = features @ amplitudes.reshape(features.shape[1], -1)
        return values.reshape(len(features), -1, self.draws), which

    def _amplitudes(self, number: int, species: slice) -> tuple[Fields, Array]:
        """The fields of a range and each species' amplitudes of their waves, (2 M, S, D)."""
        key = (number, species.start, species.stop)
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            fields = Fields(self.model.ranges_m[number], self.seed, number)
            loading, own = self.model.loadings[number][species], self.model.own[number][species]
            factors = loading.shape[1]
            shared = fields.amplitudes(np.arange(factors), self.draws)
            alone = fields.amplitudes(self.model.keys[species], self.draws)
            alone *= np.sqrt(own)[:, None]
            self._kept[key] = fields, alone + np.einsum("sk,mkd->msd", loading, shared, optimize=True)
        return self._kept[key]

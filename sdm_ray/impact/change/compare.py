"""Two maps compared at places: layers of the places, and sums over zones and by species, with draws of their errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtri

from sdm_ray.geo.grid import Floats
from sdm_ray.impact.change.turnover import Turnover
from sdm_ray.indicators.joint_draws import JointDraws

FIGURES = ("richness_change", "gains", "losses", "bray_curtis", "sorensen")
"""Of every place and zone; a zone's are means over its places."""
_ROWS = 2048  # places whose draws are in memory at once
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Errors:
    """Draws of the errors of the two maps.

    Attributes:
        before: of the first map.
        after: of the second; the same where errors are shared.
        level: of the intervals.
    """

    before: JointDraws
    after: JointDraws
    level: float


@dataclass(frozen=True)
class Places:
    """Places in zones.

    Attributes:
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        weights: how much of each place lies in each zone, (Z, N).
        ids: numbers of the zones, ascending, (Z,).
    """

    x: Floats
    y: Floats
    weights: csr_array
    ids: NDArray[np.int64]

    @classmethod
    def of_zones(cls, x: Floats, y: Floats, zone: NDArray[np.integer], zones: int) -> "Places":
        """Places that lie wholly in one zone each, by its number from 0 to `zones` - 1."""
        ones = np.ones(len(zone), np.float32)
        weights = csr_array((ones, (zone, np.arange(len(zone)))), shape=(zones, len(zone)))
        return cls(x, y, weights, np.arange(zones))

    def part(self, rows: slice) -> "Places":
        """Some of the places."""
        return Places(self.x[rows], self.y[rows], self.weights[:, rows], self.ids)


@dataclass(frozen=True)
class Sums:
    """Sums over places; those of several parts are added.

    Attributes:
        ids: numbers of the zones, ascending, (Z,).
        places: sum of the weights of the places in each zone, (Z,).
        zones: sums of richness before, richness after and FIGURES, (7, Z).
        zone_draws: draws of FIGURES, (5, Z, D); D is 0 without errors.
        species: sums of p, p', gains and losses of each species, (4, S).
        species_draws: draws of p' - p, (S, D).
    """

    ids: NDArray[np.int64]
    places: Floats
    zones: Floats
    zone_draws: Floats
    species: Floats
    species_draws: Floats

    @classmethod
    def total(cls, parts: "Sequence[Sums]") -> "Sums":
        """The sum of parts, in their order; their zones may differ."""
        ids = np.unique(np.concatenate([each.ids for each in parts]))
        first = parts[0]
        total = cls(
            ids,
            np.zeros(len(ids)),
            np.zeros((len(first.zones), len(ids))),
            np.zeros((len(FIGURES), len(ids), first.zone_draws.shape[2])),
            np.sum([each.species for each in parts], axis=0),
            np.sum([each.species_draws for each in parts], axis=0),
        )
        for each in parts:
            at = np.searchsorted(ids, each.ids)
            total.places[at] += each.places
            total.zones[:, at] += each.zones
            total.zone_draws[:, at] += each.zone_draws
        return total

    def some(self, start: int, stop: int) -> "Sums":
        """The same with the zones of some numbers, which are counted from 0 then."""
        kept = (self.ids >= start) & (self.ids < stop)
        own = self.ids[kept] - start, self.places[kept], self.zones[:, kept], self.zone_draws[:, kept]
        return Sums(*own, self.species, self.species_draws)


def compare(before: Array, after: Array, places: Places, errors: Errors | None) -> tuple[dict[str, Array], Sums]:
    """Compare two maps at places where both have a value.

    Args:
        before: probabilities, (S, N).
        after: likewise.
        places: where they are.
        errors: draws of the errors; None for no intervals.

    Returns:
        Layers (N,) each: FIGURES, and with errors the interval of the change of richness (`richness_change_low`,
        `_high`), whether it lies on one side of 0 (`distinct`), and the number of species whose own change does
        (`species_distinct`, by the standard deviation over draws); and the sums.
    """
    starts = range(0, max(1, len(places.x)), _ROWS)
    parts = [slice(start, start + _ROWS) for start in starts]
    made = [_compare(before[:, part], after[:, part], places.part(part), errors) for part in parts]
    layers = {name: np.concatenate([each[name] for each, _ in made]) for name in made[0][0]}
    return layers, Sums.total([each for _, each in made])


def _compare(before: Array, after: Array, places: Places, errors: Errors | None) -> tuple[dict[str, Array], Sums]:
    total, matrix = Turnover((len(places.x),)), places.weights
    for one, other in zip(before, after, strict=True):
        total.add(one, other)
    layers = total.figures()
    sums = [matrix @ each for each in (total.before, total.after, *layers.values())]
    difference = after - before
    species = [before, after, np.maximum(difference, 0), np.maximum(-difference, 0)]
    draws = 0 if errors is None else errors.before.draws
    zone_draws, species_draws = np.zeros((len(FIGURES), len(places.ids), draws)), np.zeros((len(before), draws))
    if errors is not None and len(places.x):
        zone_draws, species_draws, more = _drawn(before, after, places, errors)
        layers |= more
    elif errors is not None:
        empty = np.zeros(0, np.float32)
        layers |= dict.fromkeys(("richness_change_low", "richness_change_high", "distinct", "species_distinct"), empty)
    return layers, Sums(
        places.ids,
        np.asarray(matrix.sum(axis=1), np.float64),
        np.array(sums, np.float64),
        zone_draws,
        np.array([each.sum(axis=1, dtype=np.float64) for each in species]),
        species_draws,
    )


def _drawn(
    before: Array, after: Array, places: Places, errors: Errors
) -> tuple[Floats, Floats, dict[str, Array]]:  # fmt: skip
    """Draws of figures of zones and of species' changes, and the layers that follow from draws."""
    drawn = Turnover((len(places.x), errors.before.draws))
    every = slice(0, len(before))
    one = errors.before.probabilities(places.x, places.y, before, every)
    other = errors.after.probabilities(places.x, places.y, after, every)
    sure, changes = np.zeros(len(places.x), np.float32), []
    z = float(ndtri((1 + errors.level) / 2))
    for p, p_after, q, q_after in zip(before, after, one, other, strict=True):
        drawn.add(q, q_after)
        difference = q_after - q
        changes.append(difference.sum(axis=0, dtype=np.float64))
        sure += np.abs(p_after - p) > z * difference.std(axis=1)
    tail = (1 - errors.level) / 2
    low, high = np.quantile(drawn.change, [tail, 1 - tail], axis=1).astype(np.float32)
    zones = np.array([places.weights @ each for each in drawn.figures().values()], np.float64)
    distinct = ((low > 0) | (high < 0)).astype(np.float32)
    layers = {"richness_change_low": low, "richness_change_high": high, "distinct": distinct, "species_distinct": sure}
    return zones, np.array(changes), layers

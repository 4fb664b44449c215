"""The indicators of a cell: which sums over species each needs, and the layers that it makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdm_ray.indicators import formulas
from sdm_ray.indicators.sums import CellSums, Needs
from sdm_ray.stores.layer_classes import CLASSES
from sdm_ray.stores.maps import Layer

Floats = NDArray[np.floating]
_NAN = float("nan")
_MOST_FLAGS = 256  # species that are named in the attributes of a layer; with more, `CLASSES` alone marks it
NO_SPECIES = 65535
"""In the layer `dominant_species`: no species."""
EXACT = "standard deviation given the probabilities, species independent (exact)"
DELTA = "standard deviation given the probabilities, species independent (delta method)"


class Indicator(Protocol):
    """One or several layers made from sums over species."""

    def ask(self, needs: Needs) -> None:
        """Add the sums that the layers are made from."""
        ...

    @property
    def layers(self) -> dict[str, Layer]:
        """Names of the layers, and how they are stored."""
        ...

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """Values of the layers, (N,) each, NaN where a cell has none."""
        ...


def layer(text: str, units: str = "1") -> Layer:
    """A layer of numbers with what it is and its unit."""
    return Layer("float32", _NAN, {"long_name": text, "units": units})


def pair(name: str, text: str, sd: str, units: str = "1") -> dict[str, Layer]:
    """A layer and that of its standard deviation, `NAME_sd`."""
    return {name: layer(text, units), f"{name}_sd": layer(f"{text}: {sd}", units)}


@dataclass(frozen=True)
class WeightedSum:
    """A sum over species of weight times presence: sum_j w_j p_j, with the variance sum_j w_j^2 p_j (1 - p_j).

    With weight 1 it is expected richness, or that of a list of species; with the inverse of range size it is
    rarity-weighted richness (range-size rarity; Williams et al. 1996, Conservation Biology 10:155-174).

    Attributes:
        name: of the layer.
        text: what it is.
        weights: of the species, (S,).
        units: of the layer.
    """

    name: str
    text: str
    weights: Floats = field(repr=False)
    units: str = "1"

    def ask(self, needs: Needs) -> None:
        """See `Indicator`."""
        needs.add("p", self.name, self.weights)
        needs.add("v", self.name, np.square(self.weights))

    @property
    def layers(self) -> dict[str, Layer]:
        """See `Indicator`."""
        return pair(self.name, self.text, EXACT, self.units)

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """See `Indicator`."""
        return {self.name: sums["p", self.name], f"{self.name}_sd": np.sqrt(np.maximum(sums["v", self.name], 0))}


@dataclass(frozen=True)
class Endemism:
    """Weighted endemism, sum_j p_j / R_j, and corrected weighted endemism, its ratio to expected richness.

    R_j is the range of a species, km2 (Crisp et al. 2001, Journal of Biogeography 28:183-198).

    Attributes:
        weights: 1 / R_j, 0 where the range is not known, (S,).
        text: where the ranges come from.
    """

    weights: Floats = field(repr=False)
    text: str

    def ask(self, needs: Needs) -> None:
        """See `Indicator`."""
        needs.add("p", "endemism", self.weights)
        needs.add("p", "species")
        needs.add("v", "endemism2", np.square(self.weights))
        needs.add("v", "endemism", self.weights)
        needs.add("v", "species")

    @property
    def layers(self) -> dict[str, Layer]:
        """See `Indicator`."""
        weighted = f"weighted endemism: sum of probability / range, {self.text}"
        corrected = "corrected weighted endemism: weighted endemism / expected richness"
        return {
            **pair("weighted_endemism", weighted, EXACT, "km-2"),
            **pair("corrected_weighted_endemism", corrected, DELTA, "km-2"),
        }

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """See `Indicator`."""
        above, below = sums["p", "endemism"], sums["p", "species"]
        a2, ab, b2 = sums["v", "endemism2"], sums["v", "endemism"], sums["v", "species"]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = above / below
        return {
            "weighted_endemism": above,
            "weighted_endemism_sd": np.sqrt(np.maximum(a2, 0)),
            "corrected_weighted_endemism": ratio,
            "corrected_weighted_endemism_sd": formulas.ratio_sd(ratio, below, a2, ab, b2),
        }


@dataclass(frozen=True)
class MeanTrait:
    """Community-weighted mean of a trait, sum_j p_j t_j / sum_j p_j over the species whose value is known.

    Garnier et al. 2004, Ecology 85:2630-2637; with its coverage, the share of expected richness whose trait is known,
    which should be at least 0.8 (Pakeman & Quested 2007, Applied Vegetation Science 10:91-96).

    Attributes:
        name: of the trait.
        traits: its value for each species, NaN where unknown, (S,).
    """

    name: str
    traits: Floats = field(repr=False)

    def ask(self, needs: Needs) -> None:
        """See `Indicator`."""
        known, centred = self._centred()
        needs.add("p", "species")
        needs.add("p", f"known {self.name}", known)
        needs.add("p", self.name, centred)
        needs.add("v", f"known {self.name}", known)
        needs.add("v", self.name, centred)
        needs.add("v", f"squared {self.name}", centred**2)

    def _centred(self) -> tuple[Floats, Floats]:
        """Which traits are known, and how far they lie above their mean, so that float32 sums keep their digits."""
        known = np.isfinite(self.traits)
        return known.astype(np.float64), np.where(known, self.traits - self._mean, 0)

    @property
    def _mean(self) -> float:
        return float(np.nanmean(self.traits))

    @property
    def layers(self) -> dict[str, Layer]:
        """See `Indicator`."""
        name, text = f"cwm_{self.name}", f"community-weighted mean of {self.name}"
        coverage = layer(f"share of expected richness whose {self.name} is known")
        return {**pair(name, text, DELTA, ""), f"{name}_coverage": coverage}

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """See `Indicator`."""
        known = sums["p", f"known {self.name}"]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = sums["p", self.name] / known
            coverage = known / sums["p", "species"]
        v2, v1, v0 = sums["v", f"squared {self.name}"], sums["v", self.name], sums["v", f"known {self.name}"]
        sd = formulas.ratio_sd(mean, known, v2, v1, v0)
        name = f"cwm_{self.name}"
        return {name: mean + np.float32(self._mean), f"{name}_sd": sd, f"{name}_coverage": coverage}


@dataclass(frozen=True)
class Dominant:
    """The most probable species of a cell, as its number along the axis `species`, and its probability.

    Attributes:
        skip: species that are never shown, bool (S,).
        names: of the species, (S,).
    """

    skip: NDArray[np.bool_] = field(repr=False)
    names: Sequence[str] = field(repr=False)

    def ask(self, needs: Needs) -> None:
        """See `Indicator`."""
        needs.dominant = True
        needs.skip = self.skip

    @property
    def layers(self) -> dict[str, Layer]:
        """See `Indicator`."""
        attrs: dict[str, object] = {"long_name": "number, along the axis species from 0, of the most probable species"}
        attrs |= {CLASSES: True}
        if len(self.names) <= _MOST_FLAGS:
            attrs |= {"flag_values": list(range(len(self.names)))}
            attrs |= {"flag_meanings": " ".join("_".join(name.split()) for name in self.names)}
        return {
            "dominant_species": Layer("uint16", NO_SPECIES, attrs),
            "dominant_probability": layer("probability of the most probable species"),
        }

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """See `Indicator`."""
        probability, number = sums.dominant_probability, sums.dominant
        known = probability > 0
        return {
            "dominant_species": np.where(known, number, NO_SPECIES).astype(np.uint16),
            "dominant_probability": np.where(known, probability, np.float32(np.nan)),
        }


def needs_of(indicators: Sequence[Indicator], species: int) -> Needs:
    """The sums that indicators of so many species need."""
    needs = Needs(species)
    for each in indicators:
        each.ask(needs)
    return needs

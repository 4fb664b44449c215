"""Indicators of how presences are spread over species, and of how a cell's species differ from the others'."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sdm_ray.indicators import formulas
from sdm_ray.indicators.cells import DELTA, Floats, layer, pair
from sdm_ray.indicators.sums import CellSums, Needs
from sdm_ray.stores.maps import Layer


@dataclass(frozen=True)
class Diversity:
    """Shannon and Simpson indices and Hill numbers of the shares s_j = p_j / sum p of the species at a cell.

    The Hill number of order q is (sum s_j^q)^(1 / (1 - q)) (Hill 1973, Ecology 54:427-432; Jost 2006, Oikos
    113:363-375): for q = 0 the number of species with a share, for q = 1 exp(H) and for q = 2 the inverse of Simpson's
    concentration. Simpson's index is 1 - sum s_j^2. A probability stands for the abundance that maps do not have, so
    that these describe how evenly the expected presences are spread over species.

    Attributes:
        wanted: of `shannon`, `simpson` and `hill`.
    """

    wanted: frozenset[str]

    def ask(self, needs: Needs) -> None:
        """See `Indicator`."""
        for term in ("share p", "share v"):
            needs.add(term, "shares")
        if self.wanted & {"shannon", "hill"}:
            for term in ("p log p", "v log p", "v log2 p"):
                needs.add(term, "shares")
        if self.wanted & {"simpson", "hill"}:
            for term in ("v p", "v p2"):
                needs.add(term, "shares")
        if "hill" in self.wanted:
            needs.add("count", "shares")

    @property
    def layers(self) -> dict[str, Layer]:
        """See `Indicator`."""
        found: dict[str, Layer] = {}
        if "shannon" in self.wanted:
            found |= pair("shannon", "Shannon index of the species' shares in expected richness", DELTA)
        if "simpson" in self.wanted:
            found |= pair("simpson", "Simpson index, 1 - sum of squared shares", DELTA)
        if "hill" in self.wanted:
            found["hill_0"] = layer("Hill number of order 0: species whose probability reaches the floor")
            found |= pair("hill_1", "Hill number of order 1: exponential of the Shannon index", DELTA)
            found |= pair("hill_2", "Hill number of order 2: inverse of Simpson's concentration", DELTA)
        return found

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """See `Indicator`."""
        total, v = sums["share p", "shares"], sums["share v", "shares"]
        none = np.where(total > 0, np.float32(1), np.float32(np.nan))
        found: dict[str, NDArray[np.generic]] = {}
        if self.wanted & {"shannon", "hill"}:
            index = formulas.shannon(total, sums["p log p", "shares"]) * none
            sd = formulas.shannon_sd(total, index, v, sums["v log p", "shares"], sums["v log2 p", "shares"])
            found |= {"shannon": index, "shannon_sd": sd, "hill_1": np.exp(index), "hill_1_sd": np.exp(index) * sd}
        if self.wanted & {"simpson", "hill"}:
            squares = total - v
            squared = formulas.concentration(total, squares) * none
            sd = formulas.concentration_sd(total, squares, v, sums["v p", "shares"], sums["v p2", "shares"])
            found |= {"simpson": 1 - squared, "simpson_sd": sd, "hill_2": 1 / squared, "hill_2_sd": sd / squared**2}
        if "hill" in self.wanted:
            found["hill_0"] = sums["count", "shares"]
        return {name: found[name] for name in self.layers}


@dataclass(frozen=True)
class Lcbd:
    """Local contribution to beta diversity, see `formulas.lcbd`; over all cells of a map it sums to 1.

    It has no standard deviation: square roots of small probabilities have no error to first order.

    Attributes:
        mean: of sqrt(s_j) over the cells, for each species, (S,).
        cells: number of cells with species.
    """

    mean: Floats = field(repr=False)
    cells: int

    def ask(self, needs: Needs) -> None:
        """See `Indicator`."""
        needs.add("p", "species")
        needs.add("sqrt p", "lcbd", self.mean)

    @property
    def layers(self) -> dict[str, Layer]:
        """See `Indicator`."""
        return {"lcbd": layer("local contribution to beta diversity (Hellinger); sums to 1 over the map")}

    def values(self, sums: CellSums) -> dict[str, NDArray[np.generic]]:
        """See `Indicator`."""
        total, mean2 = sums["p", "species"], float(np.square(self.mean).sum())
        none = np.where(total > 0, np.float32(1), np.float32(np.nan))
        return {"lcbd": formulas.lcbd(total, sums["sqrt p", "lcbd"], mean2, self.cells) * none}

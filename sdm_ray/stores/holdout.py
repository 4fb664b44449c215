"""What is held out together: square blocks, or whole countries of a land store."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.blocks import Blocks, Role, fold, fold_of, role
from sdm_ray.stores.land import Land

_NOTHING = -1  # held out: no fold has this number


@dataclass(frozen=True)
class HoldOut:
    """Folds and roles of places; small and picklable.

    Attributes:
        blocks: number and seed of the folds, and the blocks.
        countries: land store whose countries are held out whole; None for blocks.
    """

    blocks: Blocks
    countries: str | None = None

    def fold(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int16]:
        """The fold that each place is held out in, (N,)."""
        if self.countries is None:
            return fold(x, y, self.blocks)
        return fold_of(self._land.country_at(x, y), self.blocks)

    def role(self, x: NDArray[np.float64], y: NDArray[np.float64], held_out: int | None) -> NDArray[np.int8]:
        """What each place is used for when one fold is held out, codes of `Role`, (N,).

        Where countries are held out, whole blocks of the other countries are set aside for selecting and calibrating,
        and there is no buffer.
        """
        if self.countries is None or held_out is None:
            return role(x, y, self.blocks, held_out)
        others = role(x, y, replace(self.blocks, buffer_m=0.0), _NOTHING)
        return np.where(self.fold(x, y) == held_out, np.int8(Role.TEST), others)

    def __getstate__(self) -> dict[str, object]:
        """The fields alone, without an open store."""
        return {"blocks": self.blocks, "countries": self.countries}

    @cached_property
    def _land(self) -> Land:
        assert self.countries is not None
        return Land(UPath(self.countries))

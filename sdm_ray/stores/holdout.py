"""Spatial hold-out: square blocks, or whole countries of a land store."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, Role, fold, fold_of, misfit, role
from sdm_ray.geo.grid import Floats, Grid
from sdm_ray.stores import artefact
from sdm_ray.stores.land import Land

Names = NDArray[np.str_]

_NOTHING = -1  # held out: no fold has this number


@dataclass(frozen=True)
class HoldOut:
    """Folds and roles of places; small and picklable.

    Attributes:
        blocks: number and seed of the folds, and the size of the blocks.
        countries: land store whose countries are held out whole; None for blocks.
    """

    blocks: Blocks
    countries: str | None = None

    def fold(self, x: Floats, y: Floats, named: Names | None = None) -> NDArray[np.int16]:
        """The fold that each place is held out in, (N,).

        Args:
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).
            named: country that each place names, "" for none, (N,); see `Land.countries_of`.
        """
        if self.countries is None:
            return fold(x, y, self.blocks)
        return fold_of(self._land.countries_of(x, y, named), self.blocks)

    def role(self, x: Floats, y: Floats, held_out: int | None, named: Names | None = None) -> NDArray[np.int8]:
        """What each place is used for when one fold is held out, codes of `Role`, (N,).

        Where countries are held out, whole blocks of the other countries are set aside for early stopping and
        calibration. What lies on the land of a held-out country, or within `blocks.buffer_m` of it or of a place that
        is tested, is not used: a survey may name another country than an outline gives to its cell.

        Args:
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).
            held_out: the fold held out; None where nothing is.
            named: country that each place names, "" for none, (N,).
        """
        if self.countries is None or held_out is None:
            return role(x, y, self.blocks, held_out)
        tested = self.fold(x, y, named) == held_out
        others = role(x, y, replace(self.blocks, buffer_m=0.0), _NOTHING)
        numbers = np.arange(1, len(self._land.countries))
        theirs = numbers[fold_of(numbers, self.blocks) == held_out]
        near = self._land.near(theirs, x, y, self.blocks.buffer_m)
        near |= _within(x, y, tested, self.blocks.buffer_m)
        return np.where(tested, np.int8(Role.TEST), np.where(near, np.int8(Role.BUFFER), others))

    def __getstate__(self) -> dict[str, object]:
        """The fields alone, without an open store."""
        return {"blocks": self.blocks, "countries": self.countries}

    @cached_property
    def _land(self) -> Land:
        assert self.countries is not None
        return Land(UPath(self.countries))


def check_cells(place: UPath, holdout: HoldOut, grid: Grid, name: str = "") -> None:
    """See that what was held out is known of each cell: of the one where a survey lies, and of the survey, alike.

    Args:
        place: model or map that held out.
        holdout: what it held out.
        grid: the cells.
        name: of a setting, at the beginning of the message.

    Raises:
        InputError: edges of blocks cut cells, or countries were those of another land store, whose numbers, from which
            their folds follow, are others.
    """
    said = f"{name}: " if name else ""
    if holdout.countries is None:
        if (reason := misfit(holdout.blocks, grid)) is not None:
            raise InputError(f"{said}{place}: {reason}")
        return
    inputs = artefact.read_record(place).inputs
    if inputs and artefact.read_record(UPath(holdout.countries)).fingerprint not in inputs.values():
        raise InputError(
            f"{said}{place}: was made with another land store than {holdout.countries}, whose countries have other"
            " numbers"
        )


def _within(x: Floats, y: Floats, chosen: NDArray[np.bool_], distance_m: float) -> NDArray[np.bool_]:
    """Which places lie nearer than a distance to one of some of them, (N,)."""
    if distance_m <= 0 or not chosen.any():
        return chosen.copy()
    places = np.column_stack([x, y])
    found, _ = cKDTree(places[chosen]).query(places, distance_upper_bound=distance_m)
    return np.asarray(np.isfinite(found))

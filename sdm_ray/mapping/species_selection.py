"""Which of a model's species a map shows, and how finely their probabilities are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdm_ray.errors import InputError, few
from sdm_ray.mapping.config import MapConfig
from sdm_ray.model_io import SpeciesFolder
from sdm_ray.stores.maps import Map
from sdm_ray.stores.surveys import read_surveys


@dataclass(frozen=True)
class Chosen:
    """The species of a map.

    Attributes:
        numbers: in the model, in its order.
        least: share of the surveys that the rarest of them was seen in; None without surveys.
    """

    numbers: list[int]
    least: float | None

    @property
    def bits(self) -> Literal[8, 16]:
        """Steps small enough for the rarest species: a hundredth of its mean probability at most."""
        return 8 if self.least is not None and self.least * 254 >= 100 else 16


def choose(config: MapConfig, model: SpeciesFolder) -> Chosen:
    """The species that a map is asked for.

    Raises:
        InputError: the model does not know one, or none is common enough.
    """
    names = model.species["name"].tolist()
    wanted = names if config.species is None else config.species
    if unknown := [name for name in wanted if name not in names]:
        raise InputError(f"species: {config.path(config.model)} does not know {unknown[0]!r}; found {few(names)}")
    numbers = [number for number, name in enumerate(names) if name in set(wanted)]
    if config.surveys is None:
        return Chosen(numbers, None)
    surveys, species = read_surveys(config.path(config.surveys))
    seen = np.bincount(np.concatenate(surveys["species"].to_numpy()), minlength=len(species))
    shares = dict(zip(species["name"], seen / len(surveys), strict=True))
    prevalence = np.array([shares.get(name, 0.0) for name in names])
    numbers = [number for number in numbers if prevalence[number] >= config.min_prevalence]
    if not numbers:
        raise InputError(
            f"min_prevalence: {config.min_prevalence}, but no species of the map reaches it; the commonest"
            f" has {prevalence.max():.2g}"
        )
    return Chosen(numbers, float(prevalence[numbers].min()))


def numbers_by_name(source: Map, wanted: Sequence[str] | None) -> list[int]:
    """Numbers of a map's species by their names, in this order; None for all.

    Raises:
        InputError: the map lacks one.
    """
    names = source.species["name"].tolist()
    if wanted is None:
        return list(range(len(names)))
    place = {name: number for number, name in enumerate(names)}
    if missing := [name for name in wanted if name not in place]:
        raise InputError(f"{source.path}: has no species {missing[0]!r}; found {few(names)} ({len(names)} in all)")
    return [place[name] for name in wanted]

"""Species of a map found by names of other tables and lists, however they are written."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.progress import say
from sdm_ray.sources.occurrences.taxonomy import SpeciesList, match, read_synonyms


class SpeciesMatcher:
    """Finds the species of a map by names that are written otherwise.

    Attributes:
        species: names in the map.
    """

    def __init__(self, species: Sequence[str], synonyms: str | None = None) -> None:
        self.species = list(species)
        self._synonyms = read_synonyms(synonyms) if synonyms else None

    def numbers(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Number in the map of each name, -1 where the map has no such species, (N,)."""
        ours, theirs = match([_list(self.species), _list(names)], self._synonyms).numbers
        place = {int(taxon): number for number, taxon in reversed(list(enumerate(ours)))}
        return np.array([place.get(int(taxon), -1) for taxon in theirs], np.int64)

    def matched(self, names: Sequence[str], where: str) -> NDArray[np.int64]:
        """The same, and tells how many names the map does not have.

        Raises:
            InputError: it has none of them.
        """
        found = self.numbers(names)
        unknown = [name for name, number in zip(names, found, strict=True) if number < 0]
        if len(unknown) == len(names):
            raise InputError(f"{where}: names none of the map's {len(self.species)} species; found {few(unknown)}")
        if unknown:
            say(f"  {where}: {len(unknown)} of {len(names)} names are no species of the map, such as {unknown[0]}")
        return found


def _list(names: Sequence[str]) -> SpeciesList:
    table = pd.DataFrame({"species_id": range(len(names)), "name": list(names), "gbif_key": pd.NA})
    return SpeciesList("names", table, "")

"""The thresholds of species that an evaluation found, by name."""

import io
from collections.abc import Sequence

import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.progress import say


def read_thresholds(folder: UPath, species: Sequence[str]) -> pd.DataFrame:
    """Thresholds of a map's species; those that the evaluation did not score have none, which is told.

    Args:
        folder: artefact of `evaluate`.
        species: names.

    Returns:
        One row a species, in this order, and one column for each named threshold (`max_tss`, …), NaN where it has none.

    Raises:
        InputError: the folder has no table of thresholds, or the table none of the species.
    """
    place = folder / "thresholds.csv"
    if not place.exists():
        raise InputError(f"{place}: no such file; expected an artefact of `evaluate` that scored maps")
    table = pd.read_csv(io.StringIO(place.read_text())).set_index("species")
    names = [str(name) for name in table if f"surveys above {name}" in table]
    unknown = [name for name in species if name not in table.index]
    if len(unknown) == len(species):
        raise InputError(f"{place}: has none of the map's {len(species)} species, such as {species[0]!r}")
    if unknown:
        say(f"  {len(unknown)} of {len(species)} species have no thresholds in {place}, such as {unknown[0]}")
    return table.reindex(list(species))[names]

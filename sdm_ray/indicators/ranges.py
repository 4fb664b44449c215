"""Ranges of species: the cells whose probability reaches a threshold that `evaluate` found and named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.evaluation.thresholds import read_thresholds
from sdm_ray.geo.grid import Grid


@dataclass(frozen=True)
class Cuts:
    """Thresholds of a map's species.

    Attributes:
        names: of the thresholds, such as `max_tss`.
        values: NaN where a species has none, float32 (C, S).
    """

    names: tuple[str, ...]
    values: np.ndarray

    def count(self, probability: np.ndarray, species: slice) -> np.ndarray:
        """Cells (C, K) that reach the thresholds.

        Args:
            probability: of K species, NaN where there is none, (K, height, width).
            species: which they are.
        """
        flat = probability.reshape(len(probability), -1)
        return np.stack([np.count_nonzero(flat >= cut[species, None], axis=1) for cut in self.values])


def read_cuts(folder: UPath, species: Sequence[str]) -> Cuts:
    """The thresholds of `evaluate` for a map's species; those that it did not score have none, which is told.

    Raises:
        InputError: the folder has no table of thresholds, or the table none of the species.
    """
    table = read_thresholds(folder, species)
    return Cuts(tuple(table.columns), table.to_numpy(np.float32).T)


def range_table(species: Sequence[str], cuts: Cuts, cells: np.ndarray, grid: Grid) -> pd.DataFrame:
    """One row a species: each threshold and the area that reaches it, blank where there is none.

    Args:
        species: names.
        cuts: their thresholds.
        cells: that reach them, (C, S).
        grid: of the map; its cells have equal areas.
    """
    columns: dict[str, object] = {"species": list(species)}
    for name, values, count in zip(cuts.names, cuts.values, cells, strict=True):
        columns[name] = values
        columns[f"km2 above {name}"] = np.where(np.isnan(values), np.nan, count * grid.resolution**2 / 1e6)
    return pd.DataFrame(columns)

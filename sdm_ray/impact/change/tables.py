"""Tables of a comparison: zones and species, with intervals where the errors are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sdm_ray.geo.grid import Floats
from sdm_ray.impact.change.compare import FIGURES, Sums
from sdm_ray.indicators.zone_file import NamedZones


@dataclass(frozen=True)
class About:
    """What the rows of a table are.

    Attributes:
        before: label of the first map.
        after: label of the other.
        level: of the intervals.
        cell_km2: area of a cell.
    """

    before: str
    after: str
    level: float
    cell_km2: float

    @property
    def labels(self) -> dict[str, str]:
        """The first columns."""
        return {"before": self.before, "after": self.after}


def country_table(names: Sequence[str], sums: Sums, about: About) -> pd.DataFrame:
    """One row a country with cells: see `zone_means`."""
    rows = []
    for position in np.flatnonzero(sums.places).tolist():
        cells = int(sums.places[position])
        row: dict[str, object] = {
            **about.labels, "zone": names[sums.ids[position]] or "(none)", "cells": cells,
            "area_km2": cells * about.cell_km2,
        }  # fmt: skip
        rows.append(row | zone_means(sums, position, about.level))
    return pd.DataFrame(rows)


def polygon_table(zones: NamedZones, sums: Sums, about: About) -> pd.DataFrame:
    """One row a polygon, with its area, how much of it has values, warnings and `zone_means`.

    Args:
        zones: the polygons.
        sums: whose zones are numbered as the polygons; those that are missing have no value.
        about: the rows.
    """
    mapped = np.zeros(len(zones.ids))
    mapped[sums.ids] = sums.places * about.cell_km2
    table = zones.table(mapped, about.cell_km2)
    for place, name in enumerate(about.labels):
        table.insert(place, name, about.labels[name])
    positions = np.flatnonzero(sums.places).tolist()
    means = [zone_means(sums, position, about.level) for position in positions]
    return table.join(pd.DataFrame(means, index=sums.ids[positions]))


def zone_means(sums: Sums, position: int, level: float) -> dict[str, object]:
    """Means over a zone's cells of richness, its change, gains, losses and turnover, with intervals from the draws.

    `distinct` says whether the interval of the change of richness lies on one side of 0.
    """
    cells = sums.places[position]
    before, after, *figures = sums.zones[:, position] / cells
    row: dict[str, object] = {"richness_before": before, "richness_after": after}
    for name, value, drawn in zip(FIGURES, figures, sums.zone_draws[:, position] / cells, strict=True):
        row |= {name: value, **_interval(name, drawn, level)}
    return row | _distinct(row, "richness_change")


def species_table(names: Sequence[str], sums: Sums, about: About) -> pd.DataFrame:
    """One row a species: expected areas before, after, gained, lost and stable (in both), km2.

    A cell's probability counts as a share of its area. `distinct` says whether the interval of the change lies on one
    side of 0.
    """
    area = sums.species * about.cell_km2
    rows = []
    for number, name in enumerate(names):
        before, after, gained, lost = area[:, number]
        row: dict[str, object] = {
            **about.labels, "species": name, "km2_before": before, "km2_after": after, "km2_change": after - before,
            **_interval("km2_change", sums.species_draws[number] * about.cell_km2, about.level),
            "km2_gained": gained, "km2_lost": lost, "km2_stable": before - lost,
        }  # fmt: skip
        rows.append(row | _distinct(row, "km2_change"))
    return pd.DataFrame(rows)


def _interval(name: str, drawn: Floats, level: float) -> dict[str, object]:
    if not drawn.size:
        return {}
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _distinct(row: dict[str, object], name: str) -> dict[str, object]:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if not isinstance(low, float) or not isinstance(high, float):
        return {}
    return {"distinct": low > 0 or high < 0}

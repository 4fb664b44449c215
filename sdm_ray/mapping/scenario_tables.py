"""What the scenarios of a map change: area that each species gains, loses and keeps, against the baseline.

A cell's probability counts as a share of its area, as in the job `change`: with p in the baseline and p' in the
scenario, max(p' - p, 0) is gained, max(p - p', 0) lost, min(p, p') stable. Probabilities are taken as they are stored,
so that sums are of whole numbers and the same however the map was cut into tiles.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.geo.windows import Window
from sdm_ray.stores.encoding import nodata
from sdm_ray.stores.maps import Map

_SUMS = ("before", "after", "gained", "lost", "gained_novel", "lost_novel")


def differences(baseline: Map, other: Map, window: Window, novel: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Sums of each species over the cells of a window, in steps of the stored probability.

    Args:
        baseline: the map without a scenario.
        other: a scenario of it.
        window: of the map.
        novel: cells with a covariate outside the range of the surveys, (height, width).

    Returns:
        Stored probability before and after, gained, lost, and gained and lost in novel cells, (S,) each.
    """
    found = []
    missing = nodata(baseline.bits)
    for block in baseline.species_blocks():
        for start in range(block.start, block.stop, baseline.species_chunk):
            part = slice(start, min(start + baseline.species_chunk, block.stop))
            before, after = baseline.stored(window, part), other.stored(window, part)
            known = (before != missing) & (after != missing)
            before, after = np.where(known, before, 0).astype(np.int64), np.where(known, after, 0).astype(np.int64)
            change = after - before
            gained, lost = np.maximum(change, 0), np.maximum(-change, 0)
            sums = (before, after, gained, lost, gained * novel, lost * novel)
            found.append([each.sum(axis=(1, 2)) for each in sums])
    return {name: np.concatenate(each).tolist() for name, each in zip(_SUMS, zip(*found, strict=True), strict=True)}


def named(scenario: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a scenario under names of its own, `SCENARIO/figure`, so that a record holds those of all."""
    return {f"{scenario}/{name}": value for name, value in figures.items()}


def figures_of(figures: Mapping[str, Any], scenario: str | None) -> dict[str, Any]:
    """Those of one scenario, from a tile's record or from totals over tiles; all of them without a scenario."""
    if scenario is None:
        return dict(figures)
    start = f"{scenario}/"
    return {name.removeprefix(start): value for name, value in figures.items() if name.startswith(start)}


def scenario_table(baseline: Map, sums: Mapping[str, Any]) -> pd.DataFrame:
    """One row a scenario and species: expected areas, and how much of gains and losses lies in novel cells, km2.

    Args:
        baseline: of the map.
        sums: totals of its tiles' figures, under the names of `named`.
    """
    share = baseline.grid.resolution**2 / 1e6 / (nodata(baseline.bits) - 1)
    first, *others = baseline.scenarios
    tables = []
    for label in others:
        own = figures_of(sums, label)
        area = {name: own[name] * share for name in _SUMS}
        table = pd.DataFrame({"baseline": first, "scenario": label, "species": baseline.species["name"]})
        known = "novel" in own
        tables.append(
            table.assign(
                km2_before=area["before"],
                km2_after=area["after"],
                km2_gained=area["gained"],
                km2_lost=area["lost"],
                km2_stable=area["before"] - area["lost"],
                km2_gained_novel=area["gained_novel"] if known else np.nan,
                km2_lost_novel=area["lost_novel"] if known else np.nan,
            )
        )
    return pd.concat(tables, ignore_index=True)

"""Zones: indicators and species of polygons, from the sums of every tile, with a warning where a zone is not whole."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.indicators.chosen import finest_resolutions, listed_species
from sdm_ray.indicators.config import IndicatorsConfig, ZonesConfig
from sdm_ray.indicators.report import ReportWriter
from sdm_ray.indicators.tile import QUALITY, TileSums
from sdm_ray.indicators.zone_file import WARNINGS, NamedZones, counted_warnings, told_warnings
from sdm_ray.indicators.zone_intervals import MOST_CELLS, Drawn, intervals
from sdm_ray.indicators.zone_species import SpeciesTable, write_zone_species
from sdm_ray.indicators.zone_sums import Shapes
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.readers.zone_polygons import Zones
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher
from sdm_ray.stores.geoparquet import write_geoparquet
from sdm_ray.stores.maps import Map

COLUMNS = {
    "zone": "id of the zone",
    "name": "name of the zone",
    "area_km2": "area of the polygon in EPSG:3035",
    "mapped_km2": "area with a value in the map",
    "mapped_share": "mapped_km2 / area_km2",
    "warnings": "what is to be known before the figures are used",
    "withheld_species": "sensitive species whose figures are withheld, since the zone is smaller than their resolution",
    "NAME": "mean of the indicator over the mapped part of the zone, cells weighted by their exact fraction inside it",
    "NAME_sd_between": "standard deviation of the indicator between the cells",
    "NAME_sd_independent": "standard deviation of the mean if errors of cells are independent, which they are not: the"
    " real one is larger, most of all in large zones",
    "richness_low, richness_high, and of lists": "limits of an interval from joint draws of the map's errors",
    **QUALITY,
}
"""Columns of the table of zones."""


@dataclass(frozen=True)
class ZoneTask:
    """The zones of a job, from the file to the tables.

    Attributes:
        config: of the job.
        named: the polygons with their names.
        parts: folder for sums of species; None where they are not wanted.
        drawn: what is drawn for intervals; None without an error model.
        species: how the species are shown.
        grid: of the map.
    """

    config: ZonesConfig
    named: NamedZones
    parts: str | None
    drawn: Drawn | None
    species: SpeciesTable
    grid: Grid

    @property
    def zones(self) -> Zones:
        """The polygons as they were read."""
        return self.named.zones

    @property
    def ids(self) -> list[str]:
        """Of the zones, text, (Z,)."""
        return self.named.ids

    @property
    def names(self) -> list[str]:
        """Of the zones for people, (Z,)."""
        return self.named.names

    @property
    def shapes(self) -> Shapes:
        """The polygons, for the tiles."""
        return self.named.shapes

    @classmethod
    def prepare(cls, config: IndicatorsConfig, found: Map, matcher: SpeciesMatcher, output: UPath) -> "ZoneTask":
        """Read the polygons.

        Raises:
            InputError: they cannot be read, lack a column, have an id twice, all lie outside the map, or a report is
                wanted of one that is not there.
        """
        wanted = config.zones
        assert wanted is not None
        zones = NamedZones.read(wanted, found.grid, wanted.similar_by)
        if wanted.reports != "all" and (unknown := [each for each in wanted.reports if each not in set(zones.ids)]):
            raise InputError(f"zones.reports: {wanted.file} has no zone {unknown[0]!r}; found such as {zones.ids[0]!r}")
        species = SpeciesTable(
            matcher.species, listed_species(config, matcher), finest_resolutions(config, matcher), found.grid
        )
        parts = str(output / "zone_parts") if wanted.species or wanted.reports else None
        drawn = None
        if config.errors is not None:
            cells = shapely.area(zones.zones.shapes) / found.grid.resolution**2
            every = {"richness": np.ones(len(matcher.species), bool)}
            drawn = Drawn(
                str(config.path(config.errors)),
                matcher.species,
                every | {f"richness_{name}": listed for name, listed in species.lists.items()},
                np.minimum(1, MOST_CELLS / np.maximum(cells, 1)),
                wanted.draws,
                config.seed,
            )
            drawn.start()  # an error model of other species is better known now
        return cls(wanted, zones, parts, drawn, species, found.grid)

    def write(self, sums: Sequence[TileSums], job: Job) -> dict[str, Any]:
        """Write the tables and pages; returns figures for the record."""
        table = self.table(sums)
        columns = [str(name) for name in table if table[name].dtype == float]
        rounded = table.copy()
        rounded[columns] = rounded[columns].map(_significant)
        write_geoparquet(job.output / "zones.parquet", table, self.zones.shapes, job.sources)
        (job.output / "zones.csv").write_text(rounded.to_csv(index=False))
        about = {"sources": list(job.sources), "columns": COLUMNS, "warnings": list(WARNINGS.values())}
        (job.output / "zones.json").write_text(json.dumps(about, indent=1))
        mapped = table["mapped_km2"].to_numpy(float)
        if self.parts is not None:
            reported = self._reported()
            kept = write_zone_species(self.species, UPath(self.parts), (self.ids, mapped), (job, reported))
            ReportWriter(self, table, kept, job).write(reported)
        counts = counted_warnings(table)
        say(f"indicators: {len(table)} zones{told_warnings(counts)}")
        return {"zones": len(table), **{f"zones_{name}": count for name, count in counts.items()}}

    def table(self, sums: Sequence[TileSums]) -> pd.DataFrame:
        """One row a zone, see `COLUMNS`."""
        count, cell = len(self.ids), self.grid.resolution**2 / 1e6
        layers: dict[str, NDArray[np.float64]] = {}
        cells = np.zeros(count)
        for each in sums:
            cells[each.zones] += each.zone_cells
            for name, values in each.zone_layers.items():
                layers.setdefault(name, np.zeros((4, count)))[:, each.zones] += values
        mapped = layers.get("richness", np.zeros((4, count)))[0] * cell
        table = self.named.table(mapped, cell)
        for place, name in enumerate(self.config.similar_by, 2):
            table.insert(place, name, self.zones.table[name].to_numpy())
        table["withheld_species"] = self.species.withheld(mapped).sum(axis=1)
        figures: dict[str, NDArray[np.float64]] = {}
        for name, (weight, total, squares, error) in layers.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = total / weight
                figures[name] = mean
                if name not in QUALITY:
                    figures[f"{name}_sd_between"] = np.sqrt(np.maximum(squares / weight - mean**2, 0))
                    figures[f"{name}_sd_independent"] = np.sqrt(error) / weight
        draws = [each.zone_draws for each in sums if each.zone_draws is not None]
        if draws:
            means = {name: (figures[name], figures[f"{name}_sd_independent"]) for name in draws[0].drawn}
            figures |= intervals(draws, means, self.config.level)
        frame = pd.DataFrame({name: values for name, values in figures.items() if not np.isnan(values).all()})
        return pd.concat([table, frame], axis=1)

    def similar(self, table: pd.DataFrame, number: int) -> NDArray[np.bool_]:
        """Zones with values that agree with one in `similar_by`, itself included, (Z,)."""
        found = (table["mapped_km2"] > 0).to_numpy(bool)
        for name in self.config.similar_by:
            value = table[name].iloc[number]
            found = found & (table[name].isna() if pd.isna(value) else table[name] == value).to_numpy(bool)
        return found

    def _reported(self) -> list[int]:
        if self.config.reports == "all":
            return list(range(len(self.ids)))
        place = {each: number for number, each in enumerate(self.ids)}
        return [place[each] for each in self.config.reports]


def _significant(value: float) -> float:
    """A figure for a table that people read."""
    return float(f"{value:.6g}")

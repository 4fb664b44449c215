"""One page for a zone: its indicators beside those of similar zones, its species, a map and what limits them."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely

from sdm_ray.geo.windows import Window, whole
from sdm_ray.indicators.tile import QUALITY
from sdm_ray.indicators.zone_species import ZoneSpecies
from sdm_ray.job import Job
from sdm_ray.plots.html import Picture, Section, Table, render
from sdm_ray.plots.zone_charts import standing_picture, zone_map_picture
from sdm_ray.progress import say
from sdm_ray.stores import raster

if TYPE_CHECKING:
    from sdm_ray.indicators.zones import ZoneTask

_LIKELY = 0.5  # highest probability from which the summary counts a species
_SHOWN = 0.05  # highest probability from which a species is in the list
_MARGIN = 0.15  # of the zone's longer side, around it on the map
_SIDE = 700  # most cells along the longer side of the map
_NOT_INDICATORS = ("_sd_between", "_sd_independent", "_low", "_high")


class ReportWriter:
    """Writes pages `reports/ZONE.html`."""

    def __init__(self, task: "ZoneTask", table: pd.DataFrame, species: Mapping[int, ZoneSpecies], job: Job) -> None:
        self._task, self._table, self._species, self._job = task, table, species, job
        first = list(table).index("withheld_species") + 1
        self._indicators = [
            name for name in map(str, list(table)[first:]) if not name.endswith(_NOT_INDICATORS) and name not in QUALITY
        ]

    def write(self, numbers: Sequence[int]) -> None:
        """Write the pages of some zones; those without a value in the map get none, which is told."""
        folder, files = self._job.output / "reports", file_names(self._task.ids)
        bare = [number for number in numbers if not self._table["mapped_km2"].iloc[number] > 0]
        for number in (each for each in numbers if each not in bare):
            folder.mkdir(parents=True, exist_ok=True)
            place = folder / f"{files[number]}.html"
            place.write_text(self.page(number), encoding="utf-8")
        if bare:
            ids = self._task.ids
            say(f"  {len(bare)} of {len(numbers)} zones get no report: no value in the map, such as {ids[bare[0]]}")

    def page(self, number: int) -> str:
        """The page of a zone as HTML."""
        row, name = self._table.iloc[number], self._task.names[number]
        found = self._species[number]
        similar = self._table[self._task.similar(self._table, number)]
        likely = int((found.highest >= _LIKELY).sum())
        summary = (
            f"{row['mapped_km2']:,.0f} km2 of the zone's {row['area_km2']:,.0f} km2 are mapped. A cell has"
            f" {row['richness']:.3g} expected species on average, {self._rank(similar, row, 'richness')} of"
            f" {len(similar)} similar zones; {likely} species have a probability of at least {_LIKELY} somewhere."
        )
        sections = [
            self._indicator_section(similar, row, name),
            *self._listed_sections(found),
            self._species_section(found),
            Section("Map", pictures=[self._map(number, name)]),
            self._caveats(row),
            Section("Sources and licences", texts=list(self._job.sources) or ["No source is stated."]),
        ]
        return render(f"Zone {name}", summary, sections)

    def _indicator_section(self, similar: pd.DataFrame, row: Any, name: str) -> Section:  # noqa: ANN401 - a row
        rows = [
            (
                indicator.replace("_", " "),
                _short(row[indicator]),
                self._interval(row, indicator),
                _short(row.get(f"{indicator}_sd_independent", np.nan)),
                _short(row.get(f"{indicator}_sd_between", np.nan)),
                _short(similar[indicator].median()),
                f"{self._rank(similar, row, indicator)[5:]} of {similar[indicator].notna().sum()}",
            )
            for indicator in self._indicators
            if pd.notna(row[indicator])
        ]
        header = (
            "indicator",
            "mean",
            "interval",
            "sd of the mean",
            "sd between cells",
            "median of similar zones",
            "rank",
        )
        caption = (
            "Means over the zone's cells. The sd of the mean takes errors of cells as independent: a lower bound."
            f" Intervals are from joint draws of the map's errors ({self._task.config.level:.0%}), where there are any."
        )
        table = Table(caption, header, rows)
        by = self._task.config.similar_by
        others = "zones of the same " + ", ".join(by) if by else "all zones"
        standing = {
            indicator.replace("_", " "): (float(row[indicator]), similar[indicator].to_numpy(float))
            for indicator in self._indicators
            if pd.notna(row[indicator])
        }
        caption = f"{name} (dot) among {len(similar)} zones (lines), {others}, from the lowest to the highest."
        picture = Picture(caption, standing_picture(standing))
        return Section("Indicators", tables=[table], pictures=[picture])

    def _listed_sections(self, found: ZoneSpecies) -> list[Section]:
        sections = []
        for name, listed in self._task.species.lists.items():
            shown = [number for number in self._ordered(found) if listed[number]]
            withheld = int((listed & np.isnan(found.mean)).sum())
            texts = [f"{withheld} species of the list are sensitive and withheld."] if withheld else []
            title = f"Species of the list {name}"
            sections.append(Section(title, texts, [self._species_table(found, shown, title)]))
        return sections

    def _species_section(self, found: ZoneSpecies) -> Section:
        ordered = self._ordered(found)
        shown = [number for number in ordered if found.highest[number] >= _SHOWN]
        caption = f"Species with a probability of at least {_SHOWN} in some cell, by expected area."
        rest = len(ordered) - len(shown)
        withheld = int(np.isnan(found.mean).sum())
        texts = [f"{rest} species of the map have lower probabilities everywhere in the zone."] if rest else []
        texts += [f"{withheld} sensitive species are withheld."] if withheld else []
        return Section("Species", texts, [self._species_table(found, shown, caption)])

    def _ordered(self, found: ZoneSpecies) -> list[int]:
        """Species that are not withheld, by expected area."""
        order = np.argsort(-found.area_km2, kind="stable")
        return [int(number) for number in order if not np.isnan(found.mean[number])]

    def _species_table(self, found: ZoneSpecies, shown: Sequence[int], caption: str) -> Table:
        header = ("species", "mean probability", "highest probability", "expected area, km2", "sd if independent")
        names = self._task.species.names
        rows = [
            (
                names[number],
                _short(found.mean[number]),
                _short(found.highest[number]),
                _short(found.area_km2[number]),
                _short(found.sd_km2[number]),
            )
            for number in shown
        ]
        return Table(caption, header, rows)

    def _map(self, number: int, name: str) -> Picture:
        shape, grid = self._task.zones.shapes[number], self._task.grid
        west, south, east, north = shapely.bounds(shape)
        margin = max(_MARGIN * max(east - west, north - south), 2 * grid.resolution)
        (bottom, top), (left, right) = grid.cell(
            np.array([west - margin, east + margin]), np.array([south - margin, north + margin])
        )
        window = Window(int(top), int(left), int(bottom - top) + 1, int(right - left) + 1).intersect(whole(grid))
        step = -(-max(window.height, window.width) // _SIDE)
        values = raster.open_group(self._job.output / "0")["richness"][window.slices][::step, ::step]
        x0, y1 = grid.x0 + window.col * grid.resolution, grid.y1 - window.row * grid.resolution
        extent = (x0, y1 - window.height * grid.resolution, x0 + window.width * grid.resolution, y1)
        rings = [np.asarray(shapely.get_coordinates(ring)) for ring in shapely.get_rings(shapely.get_parts(shape))]
        png = zone_map_picture(values, rings, "Expected richness", "species", extent)
        return Picture(f"Expected number of species in every cell of {grid.resolution:g} m; the line is {name}.", png)

    def _caveats(self, row: Any) -> Section:  # noqa: ANN401 - a row
        texts = [
            f"Standard deviations here hold only if errors of cells are independent. They are not: models err alike in"
            f" neighbouring cells, so that the real ones are larger, most of all over {row['mapped_km2']:,.0f} km2.",
            "They are of species given their probabilities and do not include that the probabilities may be wrong.",
        ]
        if row["warnings"]:
            texts.insert(0, f"The zone: {row['warnings']}; {row['mapped_share']:.0%} of its area has values.")
        known = [name for name in QUALITY if name in row and pd.notna(row[name])]
        table = Table(
            "What the map's quality layers say", ("layer", "mean"), [(QUALITY[n], _short(row[n])) for n in known]
        )
        return Section("Caveats", texts, [table] if known else [])

    def _interval(self, row: Any, name: str) -> str:  # noqa: ANN401 - a row
        low, high = row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)
        return "" if pd.isna(low) else f"{_short(low)} to {_short(high)}"

    def _rank(self, similar: pd.DataFrame, row: Any, name: str) -> str:  # noqa: ANN401 - a row
        return f"rank {int((similar[name] > row[name]).sum()) + 1}"


def _short(value: float) -> str:
    """A figure for people: three digits, and nothing where there is none."""
    if not np.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def file_names(zones: Sequence[str]) -> list[str]:
    """Names of files for zones by their ids, no two alike: of ids that differ in signs alone, later ones get a number.

    Upper and lower case do not tell names apart, since they do not on every disk.
    """
    plain = [re.sub(r"[^\w.-]+", "-", zone).strip("-") or "zone" for zone in zones]
    used, found = {each.casefold() for each in plain}, list[str]()
    first = set[str]()
    for name in plain:
        chosen, number = name, 2
        if name.casefold() in first:
            while (chosen := f"{name}-{number}").casefold() in used:
                number += 1
        first.add(name.casefold())
        used.add(chosen.casefold())
        found.append(chosen)
    return found

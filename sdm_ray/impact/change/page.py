"""Pictures and the page of a comparison."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.impact.change.tile import UNKNOWN
from sdm_ray.mapping.thumbnails import overview
from sdm_ray.plots.change import signed_map_picture
from sdm_ray.plots.html import Picture, Section, Table, render
from sdm_ray.plots.maps import map_picture
from sdm_ray.stores import raster

_SHOWN = 10  # species with the largest changes
_HIDDEN = "Cells whose change cannot be told from the model's errors are left blank."


def write_page(
    output: UPath, config: ChangeConfig, maps: Sequence[str], sources: Sequence[str],
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> list[UPath]:  # fmt: skip
    """Draw every comparison and write `change.html`; returns the pictures.

    Args:
        output: of the job.
        config: of the job.
        maps: labels, the first being that of the map that others are compared with.
        sources: of the inputs, with their licences.
        tables: of countries and of species.
    """
    before, *labels = maps
    group = raster.open_group(output / "0")
    strip = group["gains"].shards[1]
    drawn: list[UPath] = []
    sections = []
    for number, label in enumerate(labels):
        pictures = _pictures(group, number, (before, label), strip)
        shown = []
        for name, png, caption in pictures:
            place = output / "pictures" / f"{number + 1}-{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(png)
            drawn.append(place)
            shown.append(Picture(caption, png, half=True))
        own = [each[each["after"] == label] for each in tables]
        sections.append(Section(f"{before} to {label}", _texts(config), _tables(*own), shown))
    sections.append(Section("Sources", list(sources)))
    (output / "change.html").write_text(render("Change", _summary(maps, tables[0]), sections))
    return drawn


def _pictures(
    group: raster.Group, number: int, labels: tuple[str, str], strip: int
) -> list[tuple[str, bytes, str]]:  # fmt: skip
    """Name, picture and caption of each layer that is shown."""
    grid = raster.read_grid(group)
    title = f"{labels[0]} to {labels[1]}"
    change = overview(group["richness_change"], float("nan"), strip, (number,))
    made = [("richness-change", signed_map_picture(change, f"Richness, {title}", "species", grid.bounds), "All cells.")]
    if "distinct" in group:
        told = overview(group["distinct"], UNKNOWN, strip, (number,))
        shown = np.where(told == 1, change, np.nan)
        picture = signed_map_picture(shown, f"Richness beyond errors, {title}", "species", grid.bounds)
        made.append(("richness-change-distinct", picture, _HIDDEN))
    for name, text in (("bray_curtis", "Least turnover (Bray-Curtis)"), ("gains", "Gains"), ("losses", "Losses")):
        values = overview(group[name], float("nan"), strip, (number,))
        unit = "dissimilarity" if name == "bray_curtis" else "species"
        picture = map_picture(values, f"{text}, {title}", unit, extent=grid.bounds)
        made.append((name.replace("_", "-"), picture, str(group[name].attrs["long_name"])))
    return made


def _texts(config: ChangeConfig) -> list[str]:
    if config.errors is None:
        return ["No error model was given: the figures have no intervals, and none of the change is masked."]
    kind = "the same in both maps" if config.errors_of_maps == "shared" else "independent between the maps"
    return [f"Intervals of {config.level:.0%} from {config.draws} joint draws of the model's errors, taken as {kind}."]


def _tables(zones: pd.DataFrame, species: pd.DataFrame) -> list[Table]:
    order = species["km2_change"].abs().sort_values(ascending=False).index
    texts = {
        "Countries: means over cells": zones.sort_values("cells", ascending=False),
        f"The {min(_SHOWN, len(species))} species whose expected area changes most": species.loc[order[:_SHOWN]],
    }
    return [_table(caption, each.drop(columns=["before", "after"])) for caption, each in texts.items()]


def _table(caption: str, table: pd.DataFrame) -> Table:
    rows = [[f"{value:.4g}" if isinstance(value, float) else value for value in row] for row in table.to_numpy()]
    return Table(caption, [str(name).replace("_", " ") for name in table], rows)


def _summary(maps: Sequence[str], zones: pd.DataFrame) -> str:
    before, *labels = maps
    parts = []
    for label in labels:
        own = zones[zones["after"] == label]
        mean = np.average(own["richness_change"], weights=own["cells"]) if len(own) else 0.0
        parts.append(f"{before} to {label}: mean expected richness {mean:+.3f}")
    return "; ".join(parts)

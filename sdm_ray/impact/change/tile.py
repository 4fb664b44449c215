"""One tile of a comparison: maps read, compared and written."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack
from upath import UPath

from sdm_ray.geo.windows import Tile, Window
from sdm_ray.impact.change.compare import FIGURES, Errors, Places, Sums, compare
from sdm_ray.indicators.error_model import read_error_model
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.zone_sums import Shapes, ZoneSums
from sdm_ray.mapping.region_mask import offset
from sdm_ray.stores import raster
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map
from sdm_ray.stores.raster import ArraySpec

UNKNOWN = 255
"""In the flag layers: no value in one of the maps, or no way to tell."""
NOVELTY = "environmental_similarity"
_NAN = float("nan")
_PART = 128  # cells along the side of what is compared at once
_TEXTS = {
    "richness_change": "expected richness minus that of the first map",
    "gains": "least expected number of species gained, sum of max(p' - p, 0)",
    "losses": "least expected number of species lost, sum of max(p - p', 0)",
    "bray_curtis": "Bray-Curtis dissimilarity of the probabilities: least turnover",
    "sorensen": "expected Sorensen dissimilarity if presences in the two maps are independent",
    "richness_change_low": "lower limit of the change of expected richness",
    "richness_change_high": "upper limit of the change of expected richness",
}
_FLAGS = {
    "distinct": ("whether the change of richness can be told from the model's errors", "cannot_be_told can_be_told"),
    "novel": ("whether a covariate lies outside the range of the surveys", "within_range outside_range"),
}


@dataclass(frozen=True)
class Shared:
    """What every tile needs.

    Attributes:
        maps: the first map, and those that are compared with it: place, and scenario where it has several.
        output: where the change goes.
        land: the land store.
        errors: error model; None for no intervals.
        independent: whether each map has errors of its own.
        draws: of the errors.
        seed: of the draws.
        level: of the intervals.
        zones: polygons that differences are summed up in; None without.
    """

    maps: tuple[tuple[str, str | None], ...]
    output: str
    land: str
    errors: str | None
    independent: bool
    draws: int
    seed: int
    level: float
    zones: Shapes | None = None

    def opened(self) -> list[Map]:
        """The maps."""
        return [Map(UPath(place), scenario=scenario) for place, scenario in self.maps]

    def drawn(self, species: list[str]) -> list[Errors | None]:
        """Draws for the comparison of each further map with the first."""
        count = len(self.maps) - 1
        if self.errors is None:
            return [None] * count
        model = read_error_model(UPath(self.errors))[0].select(species, self.errors)
        first = JointDraws(model, self.draws, self.seed)
        others = [first] * count
        if self.independent:
            others = [JointDraws(model, self.draws, self.seed + 1 + number) for number in range(count)]
        return [Errors(first, each, self.level) for each in others]


_KINDS: dict[str, tuple[str, float | int]] = {
    "distinct": ("uint8", UNKNOWN),
    "novel": ("uint8", UNKNOWN),
    "species_distinct": ("uint16", 65535),
}


def create(output: UPath, first: Map, labels: list[str], *, with_errors: bool) -> None:
    """Make the empty layers; one entry along `comparison` for each map beside the first."""
    raster.open_root(output).attrs.put({"Conventions": "CF-1.11", "title": "Change", **raster.LEVELS})
    group = raster.create(output / "0", first.grid, {"comparison": labels}, {"title": "Change"})
    side, names = min(128, first.tile), [*FIGURES]
    own = ((1, side, side), (1, first.tile, first.tile), ("comparison",))
    names += ["richness_change_low", "richness_change_high"] if with_errors else []
    for name in names:
        spec = ArraySpec("float32", *own, fill=_NAN, attrs={"long_name": _TEXTS[name]})
        raster.add_array(group, name, spec)
    for name in ["novel", *(["distinct"] if with_errors else [])]:
        text, meanings = _FLAGS[name]
        attrs = {"long_name": text, "flag_values": [0, 1], "flag_meanings": meanings}
        raster.add_array(group, name, ArraySpec("uint8", *own, fill=UNKNOWN, attrs=attrs))
    if with_errors:
        text = "number of species whose change can be told from the model's errors"
        spec = ArraySpec("uint16", *own, fill=65535, attrs={"long_name": text})
        raster.add_array(group, "species_distinct", spec)


def do_tile(shared: Shared, tile: Tile) -> list[Sums]:
    """Compare and write a tile; returns the sums of each comparison, by country and, after these, by polygon."""
    (first, *others), land, window = shared.opened(), Land(UPath(shared.land)), tile.window
    shift = offset(land.grid, first.grid)
    group = raster.open_group(UPath(shared.output) / "0", "r+")
    found = []
    drawn = shared.drawn(first.species["name"].tolist())
    for number, (other, errors) in enumerate(zip(others, drawn, strict=True)):
        pair = Pair(first, other, len(land.countries), errors, shared.zones)
        layers = {name: np.full((window.height, window.width), array.fill_value, array.dtype)
                  for name, array in group.arrays() if array.ndim == 3}  # fmt: skip
        sums = []
        for part in window.parts(_PART, _PART):
            made, total = pair.compare(part, land.country(part.shifted(*shift)))
            sums.append(total)
            for name, values in made.items():
                layers[name][part.shifted(-window.row, -window.col).slices] = values
        for name, values in layers.items():
            group[name][(number, *window.slices)] = values
        found.append(Sums.total(sums))
    return found


@dataclass(frozen=True)
class Pair:
    """Two maps that are compared.

    Attributes:
        before: the first map.
        after: the other.
        countries: how many there are.
        errors: draws of their errors; None for no intervals.
        zones: polygons; None without.
    """

    before: Map
    after: Map
    countries: int
    errors: Errors | None
    zones: Shapes | None = None

    def compare(self, window: Window, country: np.ndarray) -> tuple[dict[str, np.ndarray], Sums]:
        """Layers (height, width) of a window, NaN or the value of what is unknown where there is none, and its sums."""
        before, after = self.before.read(window), self.after.read(window)
        known = ~(np.isnan(before[0]) | np.isnan(after[0]))
        rows, cols = np.nonzero(known)
        x, y = self.before.grid.centre(rows + window.row, cols + window.col)
        places = Places.of_zones(x, y, country[known], self.countries)
        if self.zones is not None:
            places = _with_polygons(places, ZoneSums(self.zones, self.before.grid, window, np.flatnonzero(known)))
        found, sums = compare(before[:, known], after[:, known], places, self.errors)
        layers = {}
        for name, values in found.items():
            dtype, fill = _KINDS.get(name, ("float32", _NAN))
            layers[name] = np.full(known.shape, fill, dtype)
            layers[name][known] = values
        return layers | {"novel": _novel(self.after, window, known)}, sums


def _with_polygons(places: Places, polygons: ZoneSums) -> Places:
    """The same places in polygons as well, which are numbered after the countries."""
    inside = csr_array((len(polygons.zones), len(places.x)), dtype=np.float32)
    if len(polygons.used):
        cells = polygons.fractions.tocoo()
        shape = (len(polygons.zones), len(places.x))
        inside = csr_array((cells.data, (cells.row, polygons.used[cells.col])), shape=shape)
    ids = np.concatenate([places.ids, len(places.ids) + polygons.zones])
    return Places(places.x, places.y, csr_array(vstack([places.weights, inside])), ids)


def _novel(other: Map, window: Window, known: np.ndarray) -> np.ndarray:
    """Where a covariate lies outside the range of the surveys, uint8; unknown where the map does not say."""
    if NOVELTY not in other.layers():
        return np.full(known.shape, UNKNOWN, np.uint8)
    similarity = other.layer(NOVELTY, window)
    return np.where(known & np.isfinite(similarity), similarity < 0, UNKNOWN).astype(np.uint8)

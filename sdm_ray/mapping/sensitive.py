"""A map as it may be published: sensitive species at a coarser resolution, or not at all.

Where a species grows may have to stay unsaid, since it would be dug up or disturbed. Its probabilities are then means
over squares of a stated side, whose edges lie on multiples of it in EPSG:3035, so that they are the same for any extent
of the map and any window that is read (Chapman 2020, Current Best Practices for Generalizing Sensitive Species
Occurrence Data, GBIF). A square of which less than half is mapped has no value: the mean of one cell would be its own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.block_means import block_means, block_sums
from sdm_ray.geo.windows import Window, whole
from sdm_ray.mapping.species_selection import numbers_by_name
from sdm_ray.progress import say
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher
from sdm_ray.stores.encoding import decode, encode
from sdm_ray.stores.maps import Map
from sdm_ray.stores.pyramid import COUNT

_LEAST_MAPPED = 0.5  # share of a square
_SUMS = ("richness", "richness_variance")  # layers that are sums over all species

Sensitive = Mapping[str, int | None]


class PublishedMap(Map):
    """A map for reading windows, whose sensitive species are coarser.

    Attributes:
        withheld: numbers of the species that are not to be published.
    """

    def __init__(
        self, path: UPath, level: int = 0, *, sensitive: Sensitive | None = None, scenario: str | None = None
    ) -> None:
        """Open a map.

        Args:
            path: of the map.
            level: of the map.
            sensitive: species -> finest resolution in metres, or None for not at all.
            scenario: of a map with several.

        Raises:
            InputError: it is no map, has none of the species, or a resolution is no multiple of its cells.
        """
        super().__init__(path, level, scenario=scenario)
        self._level = level
        self._finest: dict[int, int] = {}
        self.withheld: set[int] = set()
        if not sensitive:
            return
        numbers = SpeciesMatcher(self.species["name"].tolist()).matched(list(sensitive), "sensitive")
        for number, (name, resolution) in zip(numbers, sensitive.items(), strict=True):
            if number < 0:
                continue
            if resolution is None:
                self.withheld.add(int(number))
            elif resolution > self.grid.resolution / 2**level:
                if level == 0 and resolution % self.grid.resolution:
                    raise InputError(
                        f"sensitive: {name}: {resolution} m is no multiple of the {self.grid.resolution:g} m of {path}"
                    )
                self._finest[int(number)] = max(resolution, self._finest.get(int(number), 0))

    def stored(self, window: Window, species: slice | int = slice(None)) -> NDArray[Any]:
        """Probabilities as they are stored, see `Map.stored`."""
        values = super().stored(window, species)
        if isinstance(species, int):
            return self._means(window, species) if species in self._finest else values
        numbers = range(*species.indices(len(self.species)))
        if sensitive := [number for number in numbers if number in self._finest]:
            values = values.copy()
            for number in sensitive:
                values[numbers.index(number)] = self._means(window, number)
        return values

    def check_layers(self, names: Sequence[str]) -> None:
        """Refuse layers from which the probabilities of sensitive species follow.

        Raises:
            InputError: a layer is a sum over all species, and some of them are sensitive.
        """
        secret = sorted(self.withheld | self._finest.keys())
        if secret and (sums := [name for name in names if name in _SUMS]):
            raise InputError(
                f"layers: {sums[0]} is a sum over all species, which less the others would show where"
                f" {self.species['name'][secret[0]]} is, a species of `sensitive`; expected layers without it"
            )

    def _means(self, window: Window, number: int) -> NDArray[Any]:
        """A species of a window as means over its squares, missing where the map is, (height, width).

        A square of which less than half is mapped is missing as a whole.

        Cells of coarser levels may cross the edges of squares; there squares are as large or larger and begin with the
        map.
        """
        grid, side = self.grid, math.ceil(self._finest[number] / self.grid.resolution)
        above, left = 0, 0
        if self._level == 0:  # cells from 0, going south and east
            above, left = -round(grid.y1 / grid.resolution), round(grid.x0 / grid.resolution)
        row, col = ((window.row + above) // side * side - above, (window.col + left) // side * side - left)
        height = -(-(window.row + window.height - row) // side) * side
        width = -(-(window.col + window.width - col) // side) * side
        wide, mapped = np.full((height, width), np.nan, np.float32), np.zeros((height, width))
        there = Window(row, col, height, width).intersect(whole(grid))
        inside = there.shifted(-row, -col).slices
        wide[inside] = decode(super().stored(there, number))
        mapped[inside] = self.layer(COUNT, there) / 4**self._level if COUNT in self.layers() else 1
        mapped[np.isnan(wide)] = 0
        squares = block_means(wide, side, mapped)
        squares[block_sums(mapped, side) < _LEAST_MAPPED * side**2] = np.nan
        means = np.repeat(np.repeat(squares, side, axis=0), side, axis=1)
        means = np.where(np.isnan(wide), np.float32(np.nan), means)
        return encode(means[window.shifted(-row, -col).slices], self.bits)


def publishable(source: PublishedMap, wanted: Sequence[str] | None) -> list[int]:
    """Numbers of the wanted species, or of all that may be published; tells how many may not.

    Raises:
        InputError: the map lacks one that is wanted, or it may not be published.
    """
    numbers = numbers_by_name(source, wanted)
    withheld = [number for number in numbers if number in source.withheld]
    if withheld and wanted is not None:
        name = source.species["name"][withheld[0]]
        raise InputError(f"species: {name} is not to be published, as `sensitive` says; expected others")
    if withheld:
        say(f"  {len(withheld)} of {len(numbers)} species are sensitive and left out")
    return [number for number in numbers if number not in source.withheld]

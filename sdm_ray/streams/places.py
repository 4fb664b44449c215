"""Places by their number: listed one by one, or of a regular grid (`place_grid`)."""

from dataclasses import dataclass, field
from typing import Protocol

from sdm_ray.batch import Floats, Ints
from sdm_ray.geo.grid import to_xy


class Places(Protocol):
    """Places with the numbers 0 to n - 1."""

    def __len__(self) -> int:
        """How many."""
        ...

    def lonlat(self, ids: Ints) -> Floats:
        """WGS84 degrees, float64 (N, 2)."""
        ...

    def xy(self, ids: Ints) -> tuple[Floats, Floats]:
        """EPSG:3035 metres, (N,) each."""
        ...

    def number(self, ids: Ints) -> Ints:
        """A number of each place, int64 (N,), which it keeps where others are left out."""
        ...

    def subset(self, ids: Ints) -> "ListedPlaces":
        """Some of the places, listed."""
        ...


@dataclass(frozen=True, eq=False)
class ListedPlaces:
    """Places anywhere.

    Attributes:
        degrees: WGS84 longitude and latitude, float64 (n, 2).
        numbers: of the places, int64 (n,); None for 0 to n - 1.
    """

    degrees: Floats = field(repr=False)
    numbers: Ints | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.degrees)

    def lonlat(self, ids: Ints) -> Floats:
        """WGS84 degrees, float64 (N, 2)."""
        return self.degrees[ids]

    def xy(self, ids: Ints) -> tuple[Floats, Floats]:
        """EPSG:3035 metres, (N,) each."""
        return to_xy(*self.degrees[ids].T)

    def number(self, ids: Ints) -> Ints:
        """A number of each place, int64 (N,), which it keeps where others are left out."""
        return ids if self.numbers is None else self.numbers[ids]

    def subset(self, ids: Ints) -> "ListedPlaces":
        """Some of the places."""
        return ListedPlaces(self.degrees[ids], self.number(ids))

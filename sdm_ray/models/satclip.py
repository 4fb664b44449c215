"""Spherical harmonics and a sine network on them: the location encoder of SatCLIP."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class Harmonics(nn.Module):
    """Real spherical harmonics of degree 0 to `degrees` - 1, orthonormal on the sphere.

    They resolve about 20,000 km / `degrees`. Associated Legendre functions come from the recurrence over the degree
    of normalised functions (Holmes and Featherstone 2002, equation 11) in float64, which neither over- nor underflows
    at the degrees used here.

    Args:
        degrees: number of degrees; there are `degrees` squared harmonics.
    """

    def __init__(self, degrees: int) -> None:
        super().__init__()
        self.degrees = degrees
        self.dim = degrees * degrees

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to harmonics (N, degrees squared) float32, by degree, order -l to l."""
        lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
        legendre = self._legendre(torch.sin(lat), torch.cos(lat))
        columns = []
        for degree in range(self.degrees):
            for order in range(-degree, degree + 1):
                turned = torch.cos(order * lon) if order >= 0 else torch.sin(-order * lon)
                factor = 1.0 if order == 0 else math.sqrt(2)
                columns.append(factor * legendre[degree, abs(order)] * turned)
        return torch.stack(columns, -1).float()

    def _legendre(self, up: Tensor, out: Tensor) -> dict[tuple[int, int], Tensor]:
        """Normalised associated Legendre functions by degree and order; `up` and `out` are sine and cosine of lat."""
        found = {(0, 0): torch.full_like(up, math.sqrt(1 / (4 * math.pi)))}
        for m in range(1, self.degrees):
            found[m, m] = math.sqrt((2 * m + 1) / (2 * m)) * out * found[m - 1, m - 1]
        for m in range(self.degrees):
            for n in range(m + 1, self.degrees):
                rising = math.sqrt((4 * n * n - 1) / (n * n - m * m))
                value = up * found[n - 1, m]
                if n > m + 1:
                    value = value - math.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1)) * found[n - 2, m]
                found[n, m] = rising * value
        return found


class Siren(nn.Module):
    """A network of sines (Sitzmann et al. 2020), as it is used on harmonics by Russwurm et al. 2024.

    Args:
        inputs: features of a place.
        hidden: width.
        depth: sine layers.
        outputs: length of the embedding.
    """

    _FIRST = 30.0  # frequency of the first layer

    def __init__(self, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * max(depth, 1)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(widths[-1], outputs)
        for number, layer in enumerate([*self.layers, self.last]):
            bound = 1 / inputs if number == 0 else math.sqrt(6 / widths[-1])
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(self, values: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        for number, layer in enumerate(self.layers):
            values = torch.sin((self._FIRST if number == 0 else 1.0) * layer(values))
        return self.last(values)

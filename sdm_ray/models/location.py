"""Location encoders: coordinates to embeddings."""

import math

import torch
from torch import Tensor, nn

from sdm_ray.models.config import LocationConfig
from sdm_ray.models.layers import residual_mlp
from sdm_ray.models.projection import to_xy

_EUROPE_KM = 3000.0  # scales easting and northing to about -1 .. 1
_CENTRE = (4_321_000.0, 3_210_000.0)


class Ladder(nn.Module):
    """Global context and a ladder of Fourier features with named wavelengths.

    The context is the point on the unit sphere and its scaled easting and northing. Each wavelength has random
    directions (Rahimi and Recht 2007; Tancik et al. 2020). The phase is taken modulo one turn in float64: in float32
    it would be wrong by a quarter of a radian at wavelengths of 10 m.
    """

    directions: Tensor
    dim: int

    def __init__(self, config: LocationConfig) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(20240501)
        count = len(config.wavelengths_km)
        angle = torch.rand(count, config.directions, generator=generator, dtype=torch.float64) * 2 * math.pi
        turns_per_metre = 1 / (1000 * torch.tensor(config.wavelengths_km, dtype=torch.float64))
        unit = torch.stack([torch.cos(angle), torch.sin(angle)], -1)
        self.register_buffer("directions", (unit * turns_per_metre[:, None, None]).reshape(-1, 2))
        self.dim = 5 + 2 * count * config.directions

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to features (N, dim) float32."""
        xy = to_xy(lonlat)
        lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
        sphere = torch.stack([torch.cos(lat) * torch.cos(lon), torch.cos(lat) * torch.sin(lon), torch.sin(lat)], -1)
        centre = torch.tensor(_CENTRE, dtype=torch.float64, device=xy.device)
        context = torch.cat([sphere, (xy - centre) / (1000 * _EUROPE_KM)], -1).float()
        phase = (2 * math.pi * torch.remainder(xy @ self.directions.T, 1.0)).float()
        return torch.cat([context, torch.cos(phase), torch.sin(phase)], -1)


class SinCos(nn.Module):
    """Sine and cosine of scaled longitude and latitude (Cole et al. 2023, SINR)."""

    dim: int = 4

    def __init__(self, config: LocationConfig) -> None:
        super().__init__()

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to features (N, 4) float32."""
        scaled = math.pi * (lonlat.double() / torch.tensor([180.0, 90.0], dtype=torch.float64, device=lonlat.device))
        return torch.cat([torch.sin(scaled), torch.cos(scaled)], -1).float()


_FEATURES: dict[str, type[Ladder] | type[SinCos]] = {"ladder": Ladder, "sincos": SinCos}


class LocationEncoder(nn.Module):
    """Features of a place and a residual network on them."""

    def __init__(self, config: LocationConfig) -> None:
        super().__init__()
        self.config = config
        self.features = features = _FEATURES[config.kind](config)
        self.network = residual_mlp(features.dim, config.hidden, config.depth, config.dim, config.dropout)

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to embeddings (N, dim) float32."""
        return self.network(self.features(lonlat))

"""Location encoders: coordinates to embeddings."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sdm_ray.models.annealing import Annealed
from sdm_ray.models.config import LocationConfig
from sdm_ray.models.geoclip import Capsules
from sdm_ray.models.hashgrid import HashGrid
from sdm_ray.models.layers import residual_mlp
from sdm_ray.models.projection import to_xy
from sdm_ray.models.satclip import Harmonics, Siren

_EUROPE_KM = 3000.0  # scales easting and northing to about -1 .. 1
_CENTRE = (4_321_000.0, 3_210_000.0)
_YEAR, _DECADE = 2018.0, 10.0
_ANNEALED_BY = 0.7  # share of training after which all wavelengths are in


class Ladder(Annealed):
    """Global context and a ladder of Fourier features with named wavelengths.

    The context is the point on the unit sphere and its scaled easting and northing. Each wavelength has random
    directions (Rahimi and Recht 2007; Tancik et al. 2020). The phase is taken modulo one turn in float64: in float32
    it would be wrong by a quarter of a radian at wavelengths of 10 m.
    """

    directions: Tensor
    dim: int

    def __init__(self, config: LocationConfig) -> None:
        count = len(config.wavelengths_km)
        super().__init__(count)
        self.config = config
        generator = torch.Generator().manual_seed(20240501)
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
        offset = torch.stack([each - centre for each, centre in zip(xy.unbind(-1), _CENTRE, strict=True)], -1)
        context = torch.cat([sphere, offset / (1000 * _EUROPE_KM)], -1).float()
        phase = (2 * math.pi * torch.remainder(xy @ self.directions.T, 1.0)).float()
        waves = torch.cat([torch.cos(phase), torch.sin(phase)], -1)
        if self.config.anneal:
            waves = waves * self.shares().repeat_interleave(self.config.directions).repeat(2)
        return torch.cat([context, waves], -1)


class SinCos(nn.Module):
    """Sine and cosine of scaled longitude and latitude (Cole et al. 2023, SINR)."""

    dim: int = 4

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to features (N, 4) float32."""
        lon, lat = lonlat.double().unbind(-1)
        scaled = math.pi * torch.stack([lon / 180, lat / 90], -1)
        return torch.cat([torch.sin(scaled), torch.cos(scaled)], -1).float()


class Season(nn.Module):
    """Day of year on a circle and year in decades; each may be unknown."""

    dim: int = 5

    def forward(self, time: Tensor | None, lonlat: Tensor) -> Tensor:
        """Day of year (1 to 366) and year, float32 (N, 2) with NaN where unknown, to features (N, 5)."""
        if time is None:
            return torch.zeros(len(lonlat), self.dim, device=lonlat.device)
        known = ~torch.isnan(time)
        day, year = torch.nan_to_num(time).float().unbind(-1)
        turn = 2 * math.pi * day / 365.25
        features = torch.stack([torch.sin(turn), torch.cos(turn), (year - _YEAR) / _DECADE], -1)
        return torch.cat([features * known[:, [0, 0, 1]], known.float()], -1)


class LocationEncoder(nn.Module):
    """Features of a place, and of a time where asked for, and a network on them.

    Raises:
        InputError: published weights are missing or do not fit.
    """

    def __init__(self, config: LocationConfig) -> None:
        super().__init__()
        self.config = config
        features: Any = _features(config)
        self.features = features
        self.season: Season | None = Season() if config.time else None
        width: int = features.dim + (Season.dim if config.time else 0)
        self.network: nn.Module
        if config.kind == "capsules":
            self.network = nn.Linear(width, config.dim)  # the capsules have networks of their own
        elif config.kind == "harmonics":
            self.network = Siren(width, config.hidden, config.depth, config.dim)
        else:
            self.network = residual_mlp(width, config.hidden, config.depth, config.dim, config.dropout)

    def forward(self, lonlat: Tensor, time: Tensor | None = None) -> Tensor:
        """Degrees (N, 2) float64, and day of year and year (N, 2) or None, to embeddings (N, dim) float32."""
        features: Tensor = self.features(lonlat)
        if self.season is not None:
            features = torch.cat([features, self.season(time, lonlat)], -1)
        return self.network(features)

    def at(self, share: float) -> None:
        """Say which share of the training is over, 0 to 1: short wavelengths come in late where annealed."""
        if self.config.anneal:
            self.features.anneal(share / _ANNEALED_BY)


class FrozenLocationFeatures(nn.Module):
    """Features of a place that nothing trains, of several kinds side by side.

    Raises:
        InputError: published weights are missing or do not fit.
    """

    def __init__(self, configs: Sequence[LocationConfig]) -> None:
        super().__init__()
        kinds: list[Any] = [_features(config) for config in configs]
        self.kinds = nn.ModuleList(kinds).requires_grad_(False)
        self.dim: int = sum(kind.dim for kind in kinds)

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to features (N, dim) float32."""
        return torch.cat([kind(lonlat) for kind in self.kinds], -1)


def _features(config: LocationConfig) -> nn.Module:
    if config.kind == "harmonics":
        return Harmonics(config.degrees)
    if config.kind == "capsules":
        capsules = Capsules(config.weights)
        return capsules.requires_grad_(not config.frozen)
    if config.kind == "hashgrid":
        return HashGrid(1000 * config.wavelengths_km[0], 1000 * config.wavelengths_km[-1], config.hash)
    return Ladder(config) if config.kind == "ladder" else SinCos()

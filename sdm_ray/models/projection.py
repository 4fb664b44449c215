"""Longitude and latitude to EPSG:3035 metres in torch, so that an encoder needs nothing but coordinates."""

import math

import torch
from torch import Tensor

# ETRS89-LAEA Europe on the GRS 1980 ellipsoid.
_A, _F = 6_378_137.0, 1 / 298.257222101
_E2 = _F * (2 - _F)
_E = math.sqrt(_E2)
_LON0, _LAT0 = math.radians(10.0), math.radians(52.0)
_X0, _Y0 = 4_321_000.0, 3_210_000.0


def to_xy(lonlat: Tensor) -> Tensor:
    """Lambert azimuthal equal-area projection of WGS84 degrees, float64 (N, 2) to metres (N, 2).

    Source: Snyder 1987, Map Projections: A Working Manual, pages 187-188 (equations 3-12, 24-17 to 24-20).
    """
    lon, lat = torch.deg2rad(lonlat.double()).unbind(-1)
    q_pole = _q(torch.ones((), dtype=torch.float64, device=lonlat.device))
    sin_lat0 = torch.full((), math.sin(_LAT0), dtype=torch.float64, device=lonlat.device)
    beta0 = torch.asin(_q(sin_lat0) / q_pole)
    radius = _A * torch.sqrt(q_pole / 2)
    m0 = math.cos(_LAT0) / math.sqrt(1 - _E2 * math.sin(_LAT0) ** 2)
    d = _A * m0 / (radius * torch.cos(beta0))
    beta = torch.asin((_q(torch.sin(lat)) / q_pole).clamp(-1, 1))
    around = lon - _LON0
    inner = 1 + torch.sin(beta0) * torch.sin(beta) + torch.cos(beta0) * torch.cos(beta) * torch.cos(around)
    b = radius * torch.sqrt(2 / inner.clamp_min(1e-12))  # the clamp matters only at the antipode
    x = _X0 + b * d * torch.cos(beta) * torch.sin(around)
    north = torch.cos(beta0) * torch.sin(beta) - torch.sin(beta0) * torch.cos(beta) * torch.cos(around)
    return torch.stack([x, _Y0 + b / d * north], -1)


def _q(sin_lat: Tensor) -> Tensor:
    """Equation 3-12."""
    es = _E * sin_lat
    return (1 - _E2) * (sin_lat / (1 - es**2) - torch.log((1 - es) / (1 + es)) / (2 * _E))

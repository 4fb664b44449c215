"""GeoCLIP's location encoder: capsules of random Fourier features, and its published weights."""

import math
import zipfile
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from sdm_ray.errors import InputError

_SIGMAS = (2.0**0, 2.0**4, 2.0**8)
_FREQUENCIES, _HIDDEN, _OUT = 256, 1024, 512
_MEMBER = "geoclip/model/weights/location_encoder_weights.pth"  # inside the published wheel
_EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)
_SCALE = 66.50336 / 180  # of the projection's unit, as in the published code


class Capsules(nn.Module):
    """Equal Earth coordinates, three scales of random Fourier features, a network on each, summed.

    Source: Vivanco Cepeda et al. 2023 (GeoCLIP); Savric et al. 2018 (Equal Earth projection, equations 1 and 2).

    Args:
        weights: file of published weights: the wheel `geoclip-*.whl`, or the `.pth` inside it; None for random ones.

    Raises:
        InputError: the file is missing or holds other weights.
    """

    dim: int = _OUT

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_Capsule(sigma) for sigma in _SIGMAS)
        if weights is not None:
            self._load(weights)

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) to features (N, 512) float32."""
        plane = equal_earth(lonlat.double()) * _SCALE
        return torch.stack([part(plane) for part in self.parts]).sum(0)

    def _load(self, weights: str) -> None:
        found = _read(weights)
        named = {f"LocEnc{n}.{name}": f"parts.{n}.{own}" for n in range(len(_SIGMAS)) for name, own in _NAMES.items()}
        if set(found) != set(named):
            odd = sorted(set(found) ^ set(named))
            raise InputError(f"weights: {weights} holds no weights of GeoCLIP's location encoder ({odd[0]})")
        try:
            self.load_state_dict({own: found[name] for name, own in named.items()})
        except RuntimeError as error:
            line = str(error).splitlines()[-1].strip()
            raise InputError(f"weights: {weights} does not fit ({line})") from None


class _Capsule(nn.Module):
    """Random Fourier features of one scale and a network on them."""

    frequencies: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(int(sigma))
        self.register_buffer("frequencies", torch.randn(_FREQUENCIES, 2, generator=generator) * sigma)
        widths = (2 * _FREQUENCIES, _HIDDEN, _HIDDEN, _HIDDEN)
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.network = nn.Sequential(*hidden, nn.Linear(_HIDDEN, _OUT))

    def forward(self, plane: Tensor) -> Tensor:
        turns = torch.remainder(plane @ self.frequencies.double().T, 1.0)
        phase = (2 * math.pi * turns).float()
        return self.network(torch.cat([torch.cos(phase), torch.sin(phase)], -1))


_NAMES = {"capsule.0.b": "frequencies"}
"""Names of a capsule's weights as published, and ours."""
_NAMES |= {f"capsule.{n}.{w}": f"network.{n - 1}.{w}" for n in (1, 3, 5) for w in ("weight", "bias")}
_NAMES |= {f"head.0.{w}": f"network.6.{w}" for w in ("weight", "bias")}


def equal_earth(lonlat: Tensor) -> Tensor:
    """Equal Earth projection of degrees (N, 2) on a sphere of radius 1."""
    lon, lat = torch.deg2rad(lonlat).unbind(-1)
    a1, a2, a3, a4 = _EQUAL_EARTH
    angle = torch.asin(math.sqrt(3) / 2 * torch.sin(lat))
    slope = a1 + 3 * a2 * angle**2 + 7 * a3 * angle**6 + 9 * a4 * angle**8
    x = 2 * math.sqrt(3) * lon * torch.cos(angle) / (3 * slope)
    return torch.stack([x, a1 * angle + a2 * angle**3 + a3 * angle**7 + a4 * angle**9], -1)


def _read(path: str) -> dict[str, Tensor]:
    """A state dict; no code is run from it."""
    if not Path(path).is_file():
        raise InputError(f"weights: no file {path}; expected GeoCLIP's wheel or the .pth inside it")
    try:
        if path.endswith(".whl"):
            with zipfile.ZipFile(path) as wheel, wheel.open(_MEMBER) as file:
                found = torch.load(file, map_location="cpu", weights_only=True)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (KeyError, zipfile.BadZipFile, UnpicklingError, RuntimeError, EOFError) as error:
        line = str(error).strip().splitlines()[0]
        raise InputError(f"weights: {path} cannot be read ({line})") from None
    if not isinstance(found, dict):
        raise InputError(f"weights: {path} holds no weights")
    return found

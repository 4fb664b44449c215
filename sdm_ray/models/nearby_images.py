"""What images around a place look like, from their distances, so that sparse imagery informs every place."""

import torch
from torch import Tensor, nn

from sdm_ray.models.config import NearbyImagesConfig
from sdm_ray.models.projection import to_xy

_ROWS = 256
"""Places whose distances to all images are held at once."""
_REACH = 4.0
"""Ranges beyond which an image counts for nothing: its weight is below 0.0004."""


class NearbyImages(nn.Module):
    """Kernel means of image features around a place, at several ranges, and how many images stand behind each.

    The mean at range r weighs an image at distance d by exp(-d^2 / 2 r^2) (Nadaraya 1964; Watson 1964). One image of
    average features is added, so that the mean tends to the average where there are no images.

    Args:
        config: sizes; what is kept comes from `remember`, or from the weights of a trained model.
    """

    xy: Tensor
    features: Tensor

    def __init__(self, config: NearbyImagesConfig) -> None:
        super().__init__()
        self.ranges_m = [1000.0 * each for each in config.ranges_km]
        self.register_buffer("xy", torch.zeros(config.places, 2, dtype=torch.float64))
        self.register_buffer("features", torch.zeros(config.places, config.components))
        self.dim = len(config.ranges_km) * (config.components + 1)

    def remember(self, xy: Tensor, features: Tensor) -> None:
        """Keep images: EPSG:3035 metres (places, 2), and features of mean 0 (places, components)."""
        self.xy.copy_(xy)
        self.features.copy_(features)

    @torch.no_grad()
    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to features (N, dim) float32: of each range the mean, and log(1 + sum of weights)."""
        return torch.cat([self._of(part) for part in to_xy(lonlat).split(_ROWS)]) if len(lonlat) else self._nothing()

    def _of(self, places: Tensor) -> Tensor:
        reach = _REACH * max(self.ranges_m)
        low, high = places.amin(0) - reach, places.amax(0) + reach
        near = torch.nonzero(((self.xy >= low) & (self.xy <= high)).all(-1)).squeeze(1)  # read from the device, once
        squared = (places[:, None] - self.xy[near]).square().sum(-1).float()
        found = []
        for each in self.ranges_m:
            weights = torch.exp(-squared / (2 * each**2))
            total = weights.sum(1, keepdim=True)
            found += [weights @ self.features[near] / (1 + total), torch.log1p(total)]
        return torch.cat(found, -1)

    def _nothing(self) -> Tensor:
        return self.features.new_zeros(0, self.dim)

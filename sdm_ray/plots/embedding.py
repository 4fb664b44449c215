"""A picture of the location encoder."""

import numpy as np
import torch

from sdm_ray.geo.grid import Extent, to_lonlat
from sdm_ray.models.contrastive_model import AlignmentModel

_SIDE = 240  # cells along the longer side
_AT_ONCE = 8192


def embedding_picture(model: AlignmentModel, extent: Extent) -> bytes:
    """The first three principal components of the location encoder as red, green and blue, PNG.

    Each is scaled between its 2nd and 98th percentile. Places of similar colours have similar embeddings.

    Args:
        model: in evaluation mode, on the CPU.
        extent: west, south, east, north in EPSG:3035 metres.
    """
    from sdm_ray.plots.maps import colour_map_picture  # a second of the start of every worker

    west, south, east, north = extent
    cell = max(east - west, north - south) / _SIDE
    x = np.arange(west + cell / 2, east, cell)
    y = np.arange(north - cell / 2, south, -cell)
    lonlat = np.stack(to_lonlat(*(each.ravel() for each in np.meshgrid(x, y))), axis=1)
    with torch.inference_mode():
        parts = [model.location(part) for part in torch.from_numpy(lonlat).split(_AT_ONCE)]
    components, shares = principal_components(torch.cat(parts).double().numpy(), 3)
    low, high = np.percentile(components, [2, 98], axis=0)
    colours = ((components - low) / np.maximum(high - low, 1e-12)).clip(0, 1).reshape(len(y), len(x), -1)
    shown = ", ".join(f"{share:.0%}" for share in shares)
    return colour_map_picture(
        colours, f"Location encoder, first three principal components ({shown} of variance)", extent
    )


def principal_components(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, count) on the first principal components of (n, D) values, and their shares of the variance."""
    centred = values - values.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(centred.T))
    return centred @ axes[:, ::-1][:, :count], variance[::-1][:count] / max(variance.sum(), 1e-300)

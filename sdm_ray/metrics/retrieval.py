"""Retrieval of coordinates by images: embeddings of pairs, and scores of the matching."""

from collections.abc import Iterable

import numpy as np
import torch

from sdm_ray.batch import Array, Batch
from sdm_ray.models.contrastive_model import AlignmentModel

EMBED_ROWS = 256
"""Pairs that are embedded at once."""
_NEAR_KM = (1, 25, 200)


def embed(model: AlignmentModel, name: str, batches: Iterable[Batch[Array]]) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings of pairs of one modality and of their coordinates.

    Args:
        model: in evaluation mode, on any device.
        name: the modality.
        batches: of pairs.

    Returns:
        Embeddings of the images (n, D) and of their coordinates (n, D), float32.
    """
    nothing = np.empty((0, model.config.dim), np.float32)
    others, locations, device = [nothing], [nothing], model.location_head.weight.device
    with torch.inference_mode():
        for batch in batches:
            pairs = model.pairs(name, {key: torch.from_numpy(values).to(device) for key, values in batch.items()})
            others.append(pairs.other.float().cpu().numpy())
            locations.append(pairs.location.float().cpu().numpy())
    return np.concatenate(others), np.concatenate(locations)


def matching(other: np.ndarray, location: np.ndarray, xy: np.ndarray) -> dict[str, float]:
    """Retrieval of each image's own coordinates among those of all images.

    Args:
        other: unit embeddings of the images, (n, D).
        location: unit embeddings of their coordinates, (n, D).
        xy: EPSG:3035 metres, (n, 2).

    Returns:
        Share of the images whose own coordinates rank first (`top1`) or among the first five (`top5`); median distance
        to the best-matching coordinates (`error_km`), and the share within 1, 25 and 200 km; alignment, the mean
        squared distance of a pair, and uniformity of images and of coordinates, the logarithm of the mean Gaussian
        potential (Wang and Isola 2020, t = 2).
    """
    similarity = other @ location.T
    own = np.diag(similarity)
    better = (similarity > own[:, None]).sum(axis=1)
    distance = np.hypot(*(xy[similarity.argmax(axis=1)] - xy).T) / 1000
    return {
        "top1": float((better < 1).mean()),
        "top5": float((better < 5).mean()),
        "error_km": float(np.median(distance)),
        **{f"within_{near}km": float((distance <= near).mean()) for near in _NEAR_KM},
        "alignment": float((2 - 2 * own).mean()),
        "uniformity": uniformity(other),
        "uniformity_location": uniformity(location),
    }


def uniformity(unit: np.ndarray) -> float:
    """Logarithm of the mean Gaussian potential between different rows (n, D) of unit length; lower is more uniform."""
    potential = np.exp(-4 * (1 - unit @ unit.T))
    pairs = len(unit) * (len(unit) - 1)
    return float(np.log((potential.sum() - np.trace(potential)) / pairs))

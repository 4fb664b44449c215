"""What a species model is given: batches of places with what is known of each."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from sdm_ray.batch import Array, Batch
from sdm_ray.models.config import SpeciesConfig


def inputs_of(
    config: SpeciesConfig,
    lonlat: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    images: np.ndarray | None = None,
    series: Mapping[str, np.ndarray] | None = None,
    covariates_of: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """What a model is given to predict places: its inputs, and which places have them.

    Args:
        config: what the model is built from.
        lonlat: WGS84 degrees, float64 (N, 2).
        values: covariates in the model's order, float32 (N, C).
        known: which of them are known, (N, C).
        images: satellite windows, (N, B, size, size), all 0 where there is none; None where there are none at all.
        series: time series by name, (N, channels, time...), NaN where nothing was measured; those that are not given
            are not known.
        covariates_of: row of `values` and `known` that each place has, (N,); None where each has its own.
    """
    batch = {"lonlat": torch.from_numpy(lonlat)}
    if config.covariates:
        batch["covariates"] = torch.from_numpy(np.ascontiguousarray(values))
        batch["has_covariates"] = torch.from_numpy(known)
        if covariates_of is not None:
            batch["covariates_of"] = torch.from_numpy(covariates_of)
    if config.satellite is not None:
        seen = np.zeros(len(lonlat), bool) if images is None else np.asarray(images.any(axis=(1, 2, 3)))
        batch["has_satellite"] = torch.from_numpy(seen)
        if images is not None:
            batch["image_satellite"] = torch.from_numpy(images if seen.all() else images[seen]).float()
    for name, each in (series or {}).items():
        batch[f"series_{name}"] = torch.from_numpy(each)
        batch[f"has_series_{name}"] = torch.from_numpy(np.isfinite(each).any(axis=tuple(range(1, each.ndim))))
    return batch


def uses_covariates(config: SpeciesConfig, known: np.ndarray) -> np.ndarray:
    """Whether a model uses covariates of places, (N,), from which of them are known there, (N, C)."""
    return np.asarray(known.any(axis=1) if config.partial_covariates else known.all(axis=1) & bool(known.shape[1]))


def compact(batch: Batch[Array]) -> Batch[Array]:
    """Keep only the images that there are, as the model takes them, and the draws of their augmentation.

    Before they are moved to a device: there, their number would have to be read from it.
    """
    found = Batch(batch)
    for name, has in batch.items():
        scale = name.removeprefix("has_")
        for key in {f"image_{scale}", f"draws_{scale}"} & batch.keys() if name != scale and not has.all() else ():
            found[key] = batch[key][has]
    return found


def given_at(batch: Mapping[str, Tensor], config: SpeciesConfig) -> Iterator[tuple[list[str], Tensor]]:
    """Sets of known images (scales) and series (`series_<name>`), each with the numbers of the rows that have just it.

    So the calibration of a place depends on what is known there, not on what is known of the others in the batch.
    """
    names: list[str] = [scale for scale in config.towers if {f"image_{scale}", f"features_{scale}"} & batch.keys()]
    if config.series is not None:
        names += [f"series_{name}" for name in config.series.axes if f"series_{name}" in batch]
    names = [name for name in names if f"has_{name}" in batch]  # without it the model takes an input as missing
    rows = torch.arange(len(batch["lonlat"]), device=batch["lonlat"].device)
    if not names or not len(rows):
        yield [], rows
        return
    known = torch.stack([batch[f"has_{name}"] for name in names], dim=1)
    patterns, which = torch.unique(known, dim=0, return_inverse=True)
    for number, pattern in enumerate(patterns.tolist()):
        yield [name for name, there in zip(names, pattern, strict=True) if there], rows[which == number]

"""Checks that a tower can read the images that it is given, before training starts."""

import torch

from sdm_ray.errors import InputError
from sdm_ray.models.config import TowerConfig
from sdm_ray.models.towers import ImageTower


def check_tower(tower: TowerConfig, bands: int, size: int, key: str, source: str) -> None:
    """Try a tower on one empty image.

    Args:
        tower: its configuration.
        bands: of the images.
        size: side of the images, pixels.
        key: key of the tower in the job's configuration, for the message.
        source: path of the images, for the message.

    Raises:
        InputError: the tower cannot be built, expects other bands, or needs larger images.
    """
    if bands != tower.bands:
        raise InputError(f"{key}.bands: {tower.bands}, but images of {source} have {bands} bands")
    try:
        with torch.inference_mode():
            ImageTower(tower).eval()(torch.zeros(1, bands, size, size))
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise InputError(f"{key}.name: {tower.name} cannot read images of {size} x {size} pixels ({line})") from None

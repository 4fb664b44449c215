"""PNG pictures read back as pixels."""

import io

import numpy as np
from PIL import Image


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)


def share(png: bytes, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels(png).astype(int) - colour).max(axis=1) <= 2).mean())

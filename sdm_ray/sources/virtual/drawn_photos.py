"""Drawn photos of the virtual landscape: landscape photos, and close-ups of plants.

A landscape photo shows the land cover within half a kilometre, how hilly it is, and the climate: grey skies and lush
grass in wet places, snow in cold ones. A plant photo shows one individual of a species that grows there, by its
flower's colour and petals and its leaf's form, on the ground of its place; leaves wither in dry places, and rime lies
on the ground in cold ones.
"""

import colorsys
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sdm_ray.sources.virtual.world import BARE, CROP, FOREST, GRASS, WATER

Colour = tuple[int, int, int]

_OVERSAMPLING = 2  # drawn larger, then reduced, so that edges are soft
_GROUND: dict[int, Colour] = {
    FOREST: (70, 62, 40), GRASS: (104, 146, 62), CROP: (196, 172, 92), WATER: (92, 112, 84), BARE: (158, 142, 120),
}  # fmt: skip


class Climate(NamedTuple):
    """Moisture, 0 to 1, and cold, 0 in the warmest places to 1 in the coldest."""

    moisture: float
    cold: float


@dataclass(frozen=True)
class Scenes:
    """What is needed to draw each photo of one scale.

    Attributes:
        scale: what is drawn.
        size: side of a photo, pixels.
        seed: of the landscape.
        shares: share of each class of land cover around each place, (N, 5).
        height: elevation of each place in hundreds of metres, (N,).
        moisture: 0 to 1, (N,).
        cold: 0 in the warmest places to 1 in the coldest, (N,).
        subject: for plants, the species drawn and the class of its pixel, (N, 2).
    """

    scale: Literal["plant", "landscape"]
    size: int
    seed: int
    shares: NDArray[np.float32]
    height: NDArray[np.float32]
    moisture: NDArray[np.float32]
    cold: NDArray[np.float32]
    subject: NDArray[np.int64]

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """Draw by number: the `file` of an image is its number."""
        yield lambda number: self.draw(int(number))

    def draw(self, number: int) -> bytes:
        """One photo as JPEG."""
        rng = np.random.default_rng([self.seed, 10, len(self.scale), number])
        climate = Climate(float(self.moisture[number]), float(self.cold[number]))
        if self.scale == "landscape":
            image = _landscape(self.size, self.shares[number], self.height[number], climate, rng)
        else:
            species, cover = self.subject[number]
            image = _plant(self.size, int(species), int(cover), climate, rng)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=88)
        return file.getvalue()


def _landscape(
    size: int, shares: NDArray[np.float32], height: float, climate: Climate, rng: np.random.Generator
) -> Image.Image:
    side, moisture = size * _OVERSAMPLING, climate.moisture
    horizon = int(side * rng.uniform(0.36, 0.44))
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    grey = 0.25 + 0.5 * moisture * rng.uniform(0.6, 1.0)  # wet places have grey skies
    for y in range(horizon):
        low = y / horizon
        clear = _mix((86, 140, 212), (206, 224, 240), low)
        draw.line([(0, y), (side, y)], fill=_mix(clear, (176, 182, 188), grey))
    _hills(draw, side, horizon, height, rng)
    _ground(draw, side, horizon, shares, moisture, rng)
    _snow(draw, (0, horizon, side, side), climate.cold, rng)
    _trees(draw, side, horizon, float(shares[FOREST]), height, rng)
    return _finish(image, size, rng)


def _hills(draw: ImageDraw.ImageDraw, side: int, horizon: int, height: float, rng: np.random.Generator) -> None:
    across = np.linspace(0, 1, 33)
    for distance in (1.0, 0.55):
        waves = sum(
            rng.normal() / k * np.sin(2 * np.pi * (k * across * rng.uniform(0.7, 1.3) + rng.random()))
            for k in (1, 2, 4, 7)
        )
        top = horizon - side * (0.015 + 0.02 * height * distance) * (0.9 + 0.55 * np.asarray(waves))
        points = [(x * side, min(y, horizon)) for x, y in zip(across, top, strict=True)]
        far = _mix((86, 104, 84), (150, 170, 190), 0.75 * distance)
        draw.polygon([(0, horizon + 1), *points, (side, horizon + 1)], fill=far)


def _ground(
    draw: ImageDraw.ImageDraw, side: int, horizon: int, shares: NDArray[np.float32], moisture: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Strips of land cover, wider towards the foot of the picture, in proportion to the shares of the place."""
    weights = np.maximum(shares.astype(np.float64), 0)
    weights[FOREST] *= 0.4  # shown as trees, too
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(5, 0.2)
    draw.rectangle([0, horizon, side, side], fill=_mix(_GROUND[CROP], _GROUND[GRASS], moisture))
    y = float(horizon)
    while y < side:
        depth = (y - horizon) / (side - horizon)
        bottom = y + side * (0.015 + 0.11 * depth)
        x = -rng.uniform(0, 0.4) * side
        while x < side:
            width = side * rng.uniform(0.25, 0.8) * (0.5 + depth)
            kind = int(rng.choice(5, p=weights))
            _patch(draw, (x, y, x + width, bottom), kind, moisture, rng)
            x += width
        y = bottom


def _patch(
    draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], kind: int, moisture: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    left, top, right, bottom = box
    lush = _mix((172, 164, 84), (72, 138, 52), float(np.clip(moisture * 1.2, 0, 1)))
    fills: dict[int, Colour] = {
        FOREST: (58, 78, 42), GRASS: lush, CROP: (208, 184, 96), WATER: (104, 140, 176), BARE: (156, 140, 122),
    }  # fmt: skip
    slant = (bottom - top) * rng.uniform(-0.6, 0.6)
    corners = [(left, top), (right, top), (right + slant, bottom + 1), (left + slant, bottom + 1)]
    fill = _vary(fills[kind], 12, rng)
    draw.polygon(corners, fill=fill)
    if kind == CROP:  # rows of a field
        for x in np.arange(left, right, max((bottom - top) * 0.7, 3)):
            draw.line([(x, top), (x + 2 * slant, bottom)], fill=_mix(fill, (120, 98, 48), 0.45), width=1)
    elif kind == WATER:  # glitter
        for _ in range(3):
            x, y = rng.uniform(left, right), rng.uniform(top, bottom)
            draw.line([(x, y), (x + (right - left) * 0.2, y)], fill=(206, 222, 234), width=1)
    elif kind in (BARE, GRASS):  # stones or tufts
        spot = (112, 102, 92) if kind == BARE else _mix(fill, (40, 84, 30), 0.5)
        count = int((right - left) * (bottom - top) / 60) + 1
        for x, y in rng.uniform((left, top), (right, bottom), (count, 2)).tolist():
            draw.ellipse([x, y, x + 2 + kind % 2, y + 2], fill=spot)


def _trees(
    draw: ImageDraw.ImageDraw, side: int, horizon: int, forest: float, height: float, rng: np.random.Generator
) -> None:
    """Conifers at high and broad crowns at low elevation, in proportion to the forest around."""
    count = int(rng.binomial(46, np.clip(forest, 0, 1)))
    for depth in np.sort(rng.uniform(0, 0.8, count)):
        foot = horizon + depth * (side - horizon)
        tall = side * (0.06 + 0.3 * depth) * rng.uniform(0.8, 1.25)
        x, wide = rng.uniform(0, side), tall * 0.3
        green = _vary(_mix((58, 92, 58), (24, 66, 26), depth), 12, rng)
        draw.rectangle([x - tall * 0.03, foot - tall * 0.3, x + tall * 0.03, foot], fill=(74, 54, 38))
        if rng.random() < height / 8:
            draw.polygon([(x - wide, foot - tall * 0.12), (x + wide, foot - tall * 0.12), (x, foot - tall)], fill=green)
        else:
            draw.ellipse([x - wide, foot - tall, x + wide, foot - tall * 0.22], fill=green)
            sunlit = _mix(green, (150, 180, 90), 0.3)
            draw.ellipse([x - wide * 0.6, foot - tall, x + wide * 0.2, foot - tall * 0.6], fill=sunlit)


def _snow(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], cold: float, rng: np.random.Generator
) -> None:  # fmt: skip
    """White flecks, the more the colder the place."""
    left, top, right, bottom = box
    for _ in range(int(rng.binomial(90, np.clip(1.3 * cold - 0.3, 0, 1)))):
        x, y = rng.uniform(left, right), rng.uniform(top, bottom)
        wide = (right - left) * rng.uniform(0.02, 0.06)
        draw.ellipse([x - wide, y - wide / 3, x + wide, y + wide / 3], fill=_vary((232, 238, 244), 6, rng))


def _plant(size: int, species: int, cover: int, climate: Climate, rng: np.random.Generator) -> Image.Image:
    side = size * _OVERSAMPLING
    image = _litter(size, cover, rng).resize((side, side), Image.Resampling.BICUBIC)  # out of focus
    draw = ImageDraw.Draw(image)
    _snow(draw, (0, 0, side, side), climate.cold, rng)
    # Hue, petals and leaf of a species follow from its number alone.
    petals, slim = 3 + species % 6, 0.14 + 0.1 * (species * 0.618 % 1)
    hue = (0.52 + 0.64 * (species * 0.381966 % 1)) % 1  # flowers are not green
    fresh = _rgb(0.22 + 0.12 * (species * 0.27 % 1), 0.62, 0.5)
    leaf = _vary(_mix((168, 132, 70), fresh, float(np.clip(1.6 * climate.moisture - 0.3, 0, 1))), 12, rng)
    centre = side / 2 + rng.normal(0, side * 0.05, 2)
    span, turn = side * rng.uniform(0.30, 0.40), rng.uniform(0, 2 * np.pi)
    leaves = 3 + species % 4
    for k in range(leaves):
        _blade(draw, centre, turn + 2 * np.pi * (k + 0.5) / leaves, span * 1.25, slim, leaf)
    flower = _vary(_rgb(hue, 0.35 if species % 5 == 4 else 0.78, 0.94), 10, rng)
    for k in range(petals):
        _blade(draw, centre, turn + 2 * np.pi * k / petals, span * 0.78, 0.2 + 0.5 / petals, flower)
    heart = span * (0.12 + 0.07 * (species % 3))
    x, y = centre
    draw.ellipse([x - heart, y - heart, x + heart, y + heart], fill=_vary(_rgb((hue + 0.45) % 1, 0.8, 0.75), 10, rng))
    return _finish(image, size, rng)


def _litter(size: int, cover: int, rng: np.random.Generator) -> Image.Image:
    """The ground: upright stalks in grass and crops, leaves and stones lying anyhow elsewhere."""
    image = Image.new("RGB", (size, size), _vary(_GROUND[cover], 14, rng))
    draw = ImageDraw.Draw(image)
    tones = [_vary(_GROUND[cover], 40, rng) for _ in range(8)]
    upright = cover in (GRASS, CROP)
    turn = rng.uniform(-0.6, 0.6, 150) - np.pi / 2 if upright else rng.uniform(0, 2 * np.pi, 150)
    start = rng.uniform(0, size, (150, 2))
    reach = size * rng.uniform(0.03, 0.08, (150, 1))
    end = start + reach * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for number, line in enumerate(np.concatenate([start, end], axis=1).tolist()):
        draw.line(line, fill=tones[number % 8], width=2)
    return image.filter(ImageFilter.BoxBlur(size / 90))


def _blade(
    draw: ImageDraw.ImageDraw, foot: NDArray[np.float64], turn: float, length: float, slim: float, fill: Colour
) -> None:
    """A leaf or petal: a lens from the foot outwards with its rib."""
    along = np.linspace(0, 1, 9)
    wide = slim * length * np.sin(np.pi * along**0.8)
    ahead, aside = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    spine = foot + np.outer(along * length, ahead)
    outline = np.concatenate([spine + np.outer(wide, aside), (spine - np.outer(wide, aside))[::-1]])
    draw.polygon([tuple(point) for point in outline], fill=fill, outline=_mix(fill, (20, 30, 16), 0.35))
    draw.line([tuple(spine[0]), tuple(spine[-2])], fill=_mix(fill, (20, 30, 16), 0.25), width=1)


def _finish(image: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Reduce to the final size, and add exposure and grain of a camera."""
    small = np.asarray(image.resize((size, size), Image.Resampling.LANCZOS), np.float64)
    small = small * rng.uniform(0.88, 1.1) + rng.normal(0, 4, small.shape)
    return Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _vary(colour: Colour, by: int, rng: np.random.Generator) -> Colour:
    shifts = (rng.integers(-by, by + 1) + rng.integers(-3, 4, 3)).tolist()
    red, green, blue = (min(max(each + shift, 0), 255) for each, shift in zip(colour, shifts, strict=True))
    return red, green, blue


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * each) for each in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue

"""Pictures hold what they are to show: read back as pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from sdm_ray.evaluation import pictures


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)


def share(png: bytes, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels(png).astype(int) - colour).max(axis=1) <= 2).mean())


VIRIDIS_LOW, VIRIDIS_HIGH, SEA = (68, 1, 84), (253, 231, 37), (232, 232, 232)


def test_sea_is_grey_and_land_in_colour():
    values = np.full((20, 30), np.nan)
    values[:, :10], values[:, 10:20] = 0, 1
    png = pictures.map_picture(values, "T", "u", extent=(0, 0, 30_000, 20_000))
    assert share(png, SEA) > 0.1 and share(png, VIRIDIS_LOW) > 0.1 and share(png, VIRIDIS_HIGH) > 0.1
    assert share(pictures.map_picture(np.full((5, 5), np.nan), "all sea", "u"), SEA) > 0.2


def test_one_colour_scale_for_truth_and_map():
    truth = np.repeat([0.0, 1.0], 200).reshape(1, 20, 20)
    both = {"truth": truth, "map": np.full((1, 20, 20), 0.5)}
    png = pictures.maps_beside(both, ["Aus bus"], "p", captions={"map": ["rank correlation 0.5"]})
    middle = (33, 145, 140)  # of viridis
    assert share(png, middle) > 0.1 and share(png, VIRIDIS_LOW) > 0.05 and share(png, VIRIDIS_HIGH) > 0.05


def test_each_method_has_its_colour():
    values = {"map": np.array([0.9, np.nan, 0.7]), "forest": np.array([0.8, 0.6, 0.65])}
    png = pictures.bars(values, ["A", "B", "C"], "AUC", "AUC")
    blue, orange = (0, 114, 178), (230, 159, 0)
    assert share(png, blue) > 0.0005 and share(png, orange) > 0.0005
    rows = {"a": (0.1, -0.1, 0.3), "b": (0.2, 0.1, 0.3)}
    assert share(pictures.intervals(rows, "T", "difference"), blue) > 0.001


def test_curves_join_train_and_select():
    history = [{"train/loss": 1 / (i + 1)} | ({"select/loss": 1.0} if i % 2 else {}) for i in range(9)]
    one = pictures.curves(history, "T")
    two = pictures.curves([row | {"select/auc": 0.5} for row in history], "T")
    widths = [Image.open(io.BytesIO(png)).width for png in (one, two)]
    assert widths[1] > 1.8 * widths[0]


def test_reliability_of_true_probabilities_is_the_diagonal():
    numbers = np.random.default_rng(0)
    p = numbers.random((4000, 3))
    labels = numbers.random((4000, 3)) < p
    predicted, observed = pictures.reliability_bins(p, labels, 10)
    np.testing.assert_allclose(predicted, observed, atol=0.03)
    assert predicted[0] == pytest.approx(0.05, abs=0.01) and predicted[-1] == pytest.approx(0.95, abs=0.01)
    assert share(pictures.reliability({"map": p}, labels, "T"), (0, 114, 178)) > 0.001


def test_blocks_are_coloured_by_their_sign():
    x, y = np.array([0.0, 1e5]), np.array([0.0, 0.0])
    png = pictures.block_picture(x, y, np.array([-1.0, 1.0]), 1e5, "T", "error")
    rgb = pixels(png).astype(int)
    assert ((rgb[:, 0] > rgb[:, 2] + 60).mean() > 0.05) and ((rgb[:, 2] > rgb[:, 1] + 40).mean() > 0.05)

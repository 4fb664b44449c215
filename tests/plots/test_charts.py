"""Charts hold what they are to show: read back as pixels."""

import io

import numpy as np
import pandas as pd
import pytest
from helpers.pixels import share
from PIL import Image

from sdm_ray.plots import charts


def test_each_method_has_its_colour():
    values = {"map": np.array([0.9, np.nan, 0.7]), "forest": np.array([0.8, 0.6, 0.65])}
    png = charts.bars(values, ["A", "B", "C"], "AUC", "AUC")
    blue, orange = (0, 114, 178), (230, 159, 0)
    assert share(png, blue) > 0.0005 and share(png, orange) > 0.0005
    rows = {"a": (0.1, -0.1, 0.3), "b": (0.2, 0.1, 0.3)}
    assert share(charts.intervals(rows, "T", "difference"), blue) > 0.001


def test_curves_join_train_and_select():
    history = [{"train/loss": 1 / (i + 1)} | ({"validation/loss": 1.0} if i % 2 else {}) for i in range(9)]
    one = charts.curves(history, "T")
    two = charts.curves([row | {"validation/auc": 0.5} for row in history], "T")
    widths = [Image.open(io.BytesIO(png)).width for png in (one, two)]
    assert widths[1] > 1.8 * widths[0]


def test_reliability_of_true_probabilities_is_the_diagonal():
    numbers = np.random.default_rng(0)
    p = numbers.random((4000, 3))
    labels = numbers.random((4000, 3)) < p
    predicted, observed = charts.reliability_bins(p, labels, 10)
    np.testing.assert_allclose(predicted, observed, atol=0.03)
    assert predicted[0] == pytest.approx(0.05, abs=0.01) and predicted[-1] == pytest.approx(0.95, abs=0.01)
    assert share(charts.reliability({"map": p}, labels, "T"), (0, 114, 178)) > 0.001


def test_responses_have_a_line_and_a_band_for_each_species():
    points = np.linspace(0, 1, 5)
    rows = [
        {"covariate": "warmth", "value": v, "species": name, "mean": v * f, "low": v * f - 0.1, "high": v * f + 0.1}
        for name, f in (("A", 1.0), ("B", 0.3))
        for v in points
    ]
    png = charts.responses(pd.DataFrame(rows), ["warmth"], ["A", "B"])
    blue, orange = (0, 114, 178), (230, 159, 0)
    assert share(png, blue) > 0.0005 and share(png, orange) > 0.0005

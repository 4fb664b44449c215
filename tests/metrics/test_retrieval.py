"""How well pairs are matched."""

import numpy as np
import pytest

from sdm_ray.metrics.retrieval import matching, uniformity


def test_matching_counts_ranks_and_kilometres():
    unit = np.eye(6, dtype=np.float32)
    xy = np.stack([np.arange(6) * 3000.0, np.zeros(6)], axis=1)
    found = matching(unit, unit, xy)
    assert (found["top1"], found["top5"], found["error_km"], found["within_1km"]) == (1, 1, 0, 1)
    assert found["alignment"] == pytest.approx(0, abs=1e-6)
    shifted = matching(unit, np.roll(unit, 1, axis=0), xy)
    assert (shifted["top1"], shifted["error_km"], shifted["within_1km"]) == (0, 3, 0)
    assert shifted["within_25km"] == 1  # the farthest match lies 15 km away
    assert shifted["alignment"] == pytest.approx(2)


def test_uniformity_is_lowest_where_embeddings_are_spread_out():
    around = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = np.stack([np.cos(around), np.sin(around)], axis=1)
    same = np.tile(circle[:1], (100, 1))
    assert uniformity(same) == pytest.approx(0)
    # The mean over a circle is exp(-4) times the modified Bessel function of order 0 at 4 (with i = j left out).
    expected = np.log((np.exp(-4) * np.i0(4) * 100 - 1) / 99)
    assert uniformity(circle) == pytest.approx(expected, abs=1e-6)

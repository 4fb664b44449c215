"""The block bootstrap detects a simulated difference, and none where there is none."""

import numpy as np
import pytest

from sdm_ray.metrics.block_bootstrap import block_resamples, compare
from sdm_ray.metrics.ranking import auc


@pytest.fixture(scope="module")
def planted():
    """Two signals of known strength; each block has its own level of noise."""
    numbers = np.random.default_rng(0)
    blocks = np.repeat(np.arange(60) * 7 - 100, 40)
    labels = (numbers.random((2400, 6)) < 0.2).astype(np.uint8)
    noise = numbers.normal(size=(2400, 6)) * np.repeat(numbers.uniform(0.5, 1.5, 60), 40)[:, None]
    return labels, {"good": labels * 2 + noise, "fair": labels + noise, "same": labels + noise * 1.0}, blocks


def test_intervals(planted):
    labels, predictions, blocks = planted
    found = compare(labels, predictions, blocks, resamples=200, seed=3)
    assert found.blocks == 60 and found.counted == 6 and found.left_out == 0
    for method, scores in predictions.items():
        value = found.values["auc"][method]
        assert value.value == pytest.approx(auc(labels, scores).mean())
        assert value.low < value.value < value.high
    better = found.differences["auc"]["good", "fair"]
    truth = auc(labels, predictions["good"]).mean() - auc(labels, predictions["fair"]).mean()
    assert better.value == pytest.approx(truth) and 0 < better.low < truth < better.high
    none = found.differences["average_precision"]["fair", "same"]
    assert (none.value, none.low, none.high) == (0, 0, 0)
    # pairing cancels what the methods share: narrower than either interval alone
    alone = found.values["auc"]["fair"]
    assert better.high - better.low < alone.high - alone.low


def test_interval_covers_the_population_value():
    """Of 40 samples of blocks with a block effect, about 95 % of the intervals must hold the expected AUC."""
    held = 0
    for seed in range(40):
        numbers = np.random.default_rng(seed)
        blocks = np.repeat(np.arange(50), 20)
        labels = (numbers.random((1000, 1)) < 0.3).astype(np.uint8)
        shift = np.repeat(numbers.choice([0.0, 2.0], 50), 20)[:, None]  # useless in half the blocks
        scores = labels * shift + numbers.normal(size=(1000, 1)) + shift * -0.6
        found = compare(labels, {"m": scores}, blocks, resamples=100, seed=seed).values["auc"]["m"]
        held += found.low <= _population_auc() <= found.high
    assert held >= 34


def _population_auc():
    """Of the mixture above: positives N(0.8 or 0, 1), negatives N(-1.2 or 0, 1), each half."""
    from scipy.stats import norm

    means = [(p - n) for p in (0.8, 0.0) for n in (-1.2, 0.0)]
    return float(np.mean(norm.cdf(np.array(means) / np.sqrt(2))))


def test_seeded_and_whole_blocks():
    position, weights = block_resamples(np.array([5, 5, -1, 9]), 20, seed=1)
    assert position.tolist() == [1, 1, 0, 2]
    assert weights.shape == (3, 21) and (weights[:, 0] == 1).all() and (weights.sum(axis=0) == 3).all()
    np.testing.assert_array_equal(weights, block_resamples(np.array([5, 5, -1, 9]), 20, seed=1)[1])
    assert (weights != block_resamples(np.array([5, 5, -1, 9]), 20, seed=2)[1]).any()


def test_means_over_folds_are_blind_to_their_levels(planted):
    labels, predictions, blocks = planted
    folds = np.where(blocks < 100, 0, 2)
    shifted = {method: scores + 5.0 * (folds == 2)[:, None] for method, scores in predictions.items()}
    found = compare(labels, shifted, blocks, folds=folds, seed=3)
    plain = compare(labels, predictions, blocks, folds=folds, seed=3)
    assert found.values == plain.values and found.differences == plain.differences
    halves = [auc(labels[folds == each], predictions["good"][folds == each]).mean() for each in (0, 2)]
    assert found.values["auc"]["good"].value == pytest.approx(np.mean(halves))
    together = compare(labels, shifted, blocks, seed=3).values["auc"]["good"]
    assert together.high < found.values["auc"]["good"].low

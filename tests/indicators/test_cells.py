import numpy as np
import pytest

from sdm_ray.indicators.cells import NO_SPECIES, Dominant, Endemism, MeanTrait, WeightedSum, needs_of
from sdm_ray.indicators.sums import CellSums, Needs

P = np.array([[0.5, 0], [0.25, 0], [0.75, 0]], np.float32)
V = P * (1 - P)


def layers(indicator, p=P, block=2):
    sums = CellSums(needs_of([indicator], len(p)), p.shape[1])
    for start in range(0, len(p), block):
        sums.add(p[start : start + block].copy(), slice(start, min(start + block, len(p))))
    return indicator.values(sums)


def test_weighted_sum_by_hand():
    """Species of ranges 10, 20 and 5 km2: 0.5 / 10 + 0.25 / 20 + 0.75 / 5."""
    found = layers(WeightedSum("rarity", "", 1 / np.array([10.0, 20, 5])))
    assert found["rarity"].tolist() == pytest.approx([0.2125, 0])
    assert found["rarity_sd"][0] == pytest.approx(np.sqrt(0.25 / 100 + 0.1875 / 400 + 0.1875 / 25))


def test_richness_is_poisson_binomial():
    drawn = np.random.default_rng(0).random((200_000, 3)) < P[:, 0]
    found = layers(WeightedSum("richness", "", np.ones(3)))
    assert found["richness"][0] == pytest.approx(drawn.sum(axis=1).mean(), abs=0.01)
    assert found["richness_sd"][0] == pytest.approx(drawn.sum(axis=1).std(), abs=0.01)


def test_corrected_endemism_is_per_expected_species():
    found = layers(Endemism(1 / np.array([10.0, 20, 5]), ""))
    assert found["weighted_endemism"][0] == pytest.approx(0.2125)
    assert found["corrected_weighted_endemism"][0] == pytest.approx(0.2125 / 1.5)
    slopes = (1 / np.array([10, 20, 5]) - 0.2125 / 1.5) / 1.5
    expected = np.sqrt((slopes**2 * V[:, 0]).sum())
    assert found["corrected_weighted_endemism_sd"][0] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found["corrected_weighted_endemism"][1])


def test_mean_trait_leaves_out_species_without_a_value():
    """(0.5 x 1010 + 0.75 x 1002) / 1.25; the second species is not known."""
    found = layers(MeanTrait("height", np.array([1010, np.nan, 1002])))
    mean = (0.5 * 1010 + 0.75 * 1002) / 1.25
    assert found["cwm_height"][0] == pytest.approx(mean)
    assert found["cwm_height_coverage"][0] == pytest.approx(1.25 / 1.5)
    slopes = (np.array([1010, 1002]) - mean) / 1.25
    expected = np.sqrt((slopes**2 * V[[0, 2], 0]).sum())
    assert found["cwm_height_sd"][0] == pytest.approx(expected, rel=1e-4)
    assert np.isnan(found["cwm_height"][1]) and np.isnan(found["cwm_height_sd"][1])


@pytest.mark.parametrize("block", [1, 2, 3])
def test_dominant_species_whatever_the_blocks(block):
    found = layers(Dominant(np.zeros(3, bool), "abc"), block=block)
    assert found["dominant_species"].tolist() == [2, NO_SPECIES]
    assert found["dominant_probability"][0] == 0.75
    without = layers(Dominant(np.array([False, False, True]), "abc"), block=block)
    assert without["dominant_species"][0] == 0 and without["dominant_probability"][0] == 0.5


def test_an_unknown_term_is_refused():
    with pytest.raises(ValueError, match="p4: no such term"):
        Needs(3).add("p4", "x")

import numpy as np
import pytest
import skbio.diversity.alpha as skbio

from sdm_ray.indicators.cells import needs_of
from sdm_ray.indicators.diversity import Diversity, Lcbd
from sdm_ray.indicators.sums import CellSums

NAMES = ("shannon", "simpson", "hill_1", "hill_2")


@pytest.fixture(scope="module")
def p():
    """Of 40 species in 50 cells; the last cell has none."""
    values = np.random.default_rng(0).random((40, 50)).astype(np.float32) ** 4
    values[:, -1] = 0
    return values


def layers(indicator, p, floor=0.0, block=16):
    sums = CellSums(needs_of([indicator], len(p)), p.shape[1], floor)
    for start in range(0, len(p), block):
        sums.add(p[start : start + block].copy(), slice(start, min(start + block, len(p))))
    return indicator.values(sums)


ALL = Diversity(frozenset({"shannon", "simpson", "hill"}))


def test_indices_are_those_of_scikit_bio(p):
    found = layers(ALL, p)
    for cell in range(49):
        shares = p[:, cell].astype(float)
        assert found["shannon"][cell] == pytest.approx(skbio.shannon(shares, base=np.e), rel=1e-5)
        assert found["simpson"][cell] == pytest.approx(skbio.simpson(shares), rel=1e-5)
        for order in (0, 1, 2):
            assert found[f"hill_{order}"][cell] == pytest.approx(skbio.hill(shares, order=order), rel=1e-4)
    assert all(np.isnan(found[name][-1]) for name in NAMES) and found["hill_0"][-1] == 0


def test_species_below_the_floor_have_no_share(p):
    found = layers(ALL, p, floor=0.1)
    shares = np.where(p >= np.float32(0.1), p, 0).astype(float)
    for cell in range(49):
        assert found["hill_0"][cell] == (shares[:, cell] > 0).sum()
        assert found["shannon"][cell] == pytest.approx(skbio.shannon(shares[:, cell], base=np.e), rel=1e-5)
        assert found["hill_2"][cell] == pytest.approx(skbio.hill(shares[:, cell], order=2), rel=1e-4)


def index(name, p):
    """The index written down anew, of p (S,)."""
    shares = p / p.sum()
    shannon, squared = -(shares * np.log(shares)).sum(), (shares**2).sum()
    return {"shannon": shannon, "simpson": 1 - squared, "hill_1": np.exp(shannon), "hill_2": 1 / squared}[name]


@pytest.mark.parametrize("name", NAMES)
def test_standard_deviations_are_those_of_numerical_derivatives(p, name):
    found = layers(ALL, p)[f"{name}_sd"]
    for cell in range(5):
        at = p[:, cell].astype(float)
        steps = 1e-6 * at
        slopes = np.array([
            (index(name, at + step) - index(name, at - step)) / (2 * step.sum())
            for step in np.diag(steps)
        ])  # fmt: skip
        assert found[cell] == pytest.approx(np.sqrt((slopes**2 * at * (1 - at)).sum()), rel=1e-3)


def test_standard_deviation_of_simpson_is_that_of_drawn_presences_in_rich_cells():
    """With small spread about the probabilities, first order is enough: many species, each of several draws."""
    rng = np.random.default_rng(1)
    p = np.tile(rng.uniform(0.2, 0.9, 60), 60)  # 3,600 species
    drawn = (rng.random((400, len(p))) < p).reshape(400, 60, 60).mean(axis=1)  # the share of 60 alike that is present
    shares = drawn / drawn.sum(axis=1, keepdims=True)
    at = p[:60]
    weights = 2 * (at - (at**2).sum() / at.sum()) / at.sum() ** 2
    expected = np.sqrt((weights**2 * at * (1 - at) / 60).sum())
    assert (1 - (shares**2).sum(axis=1)).std() == pytest.approx(expected, rel=0.15)


def test_lcbd_is_the_share_in_the_total_sum_of_squares(p):
    there = p[:, :49].astype(float)
    transformed = np.sqrt(there / there.sum(axis=0))
    squares = ((transformed - transformed.mean(axis=1, keepdims=True)) ** 2).sum(axis=0)
    found = layers(Lcbd(transformed.mean(axis=1), 49), p)["lcbd"]
    np.testing.assert_allclose(found[:49], squares / squares.sum(), rtol=2e-5)
    assert found[:49].sum() == pytest.approx(1, rel=1e-5) and np.isnan(found[-1])


def test_the_blocks_of_species_change_nothing(p):
    for block in (7, 40):
        for name, values in layers(ALL, p, 0.01, block).items():
            np.testing.assert_allclose(values, layers(ALL, p, 0.01)[name], rtol=1e-4, err_msg=name)

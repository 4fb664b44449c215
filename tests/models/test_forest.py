"""A forest in plain torch: the answers of scikit-learn's, alone and beside a network."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from torch import nn

from sdm_ray.models.config import LocationConfig, SpeciesConfig
from sdm_ray.models.forest import Forest, Tree
from sdm_ray.models.species_model import SpeciesModel

CONFIG = SpeciesConfig(
    location=LocationConfig(hidden=16, depth=1, dim=8), covariates=("a", "b"), hidden=16, depth=1, embedding=8
)


def of_sklearn(forest: RandomForestRegressor) -> Forest:
    return Forest.of_trees(Tree.of_sklearn(each.tree_) for each in forest.estimators_)


@pytest.fixture(scope="module")
def grown():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (500, 4)).astype(np.float32) / 10  # many values that are a threshold, or nearly so
    y = (rng.random((500, 3)) < np.stack([x[:, 0] / 3, x[:, 1] > 1.5, 0.1 * np.ones(500)], 1)).astype(float)
    forest = RandomForestRegressor(30, max_features=0.5, min_samples_leaf=2, random_state=0).fit(x, y)
    return forest, x


def test_it_says_what_scikit_learn_says(grown, monkeypatch):
    forest, x = grown
    own = of_sklearn(forest)
    expected = forest.predict(x)
    assert np.abs(own(torch.from_numpy(x)).numpy() - expected).max() < 1e-3  # shares are held in half precision
    arrived = own._leaves(torch.from_numpy(x)).numpy()
    for number, tree in enumerate(forest.estimators_):
        groups = {pair for pair in zip(tree.apply(x).tolist(), arrived[:, number].tolist(), strict=True)}
        assert len(groups) == len({a for a, _ in groups}) == len({b for _, b in groups})  # one leaf for each leaf
    whole = own(torch.from_numpy(x))
    monkeypatch.setattr("sdm_ray.models.forest._ROWS", 7)
    assert torch.equal(own(torch.from_numpy(x)), whole)


def test_a_tree_may_be_a_single_leaf_and_rows_may_be_none():
    end = np.array([-1])
    own = Forest.of_trees([Tree(end, end, end, np.array([-2.0]), np.array([[0.25, 0.0]]))] * 2)
    assert own(torch.zeros(3, 1)).tolist() == [[0.25, 0.0]] * 3
    assert own(torch.zeros(0, 1)).shape == (0, 2)
    assert torch.isfinite(own.logits(torch.zeros(1, 1))).all()


def test_no_place_is_likelier_than_the_average_one_by_a_floor():
    end = np.array([-1])
    nowhere = [Tree(end, end, end, np.array([-2.0]), np.zeros((1, 3)))]
    prevalence = np.array([0.2, 0.002, 1e-4])
    own = Forest.of_trees(nowhere, prevalence)
    p = torch.sigmoid(own.logits(torch.zeros(1, 1)))[0].numpy()
    assert (p < prevalence).all() and np.allclose(p, [1e-3, 1e-3, 5e-5], rtol=1e-2)
    assert torch.sigmoid(Forest.of_trees(nowhere).logits(torch.zeros(1, 1)))[0, 2] > 9e-4  # 10 times its prevalence
    again = Forest(own.state_dict())
    own.keep_species([2, 0])
    assert torch.allclose(own.doubt, torch.tensor([5e-5, 1e-3])) and len(again.doubt) == 3
    former = {name: each for name, each in again.state_dict().items() if name != "doubt"}
    assert torch.allclose(Forest(former).logits(torch.zeros(1, 1)), torch.tensor(-6.9088), atol=1e-3)
    assert "doubt" not in Forest(former).state_dict()


def batch(count: int = 9) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "lonlat": torch.stack([torch.linspace(0, 3, count), torch.linspace(0, 3, count)], 1).double(),
        "covariates": 3 * torch.rand(count, 2),
        "has_covariates": (torch.arange(count) != 4)[:, None].repeat(1, 2),
    }


@pytest.fixture
def both(grown):
    """A model before its forest votes, and with it."""
    torch.manual_seed(1)
    alone = SpeciesModel(CONFIG, 3).eval()
    voted = SpeciesModel(CONFIG, 3).eval()
    voted.load_state_dict(alone.state_dict())
    voted.set_forest(of_sklearn(grown[0]), 0.25)
    return alone, voted


@torch.no_grad()
def test_the_answer_is_a_mean_of_logits_where_covariates_are_known(both, grown):
    alone, voted = both
    given = batch()
    x = torch.cat([given["lonlat"].float(), given["covariates"]], 1)
    said = voted.forest.logits(x)
    expected = 0.75 * alone(given) + 0.25 * said
    expected[4] = alone(given)[4]
    assert torch.allclose(voted(given), expected, atol=1e-5)
    assert not torch.allclose(voted(given), alone(given), atol=0.1)
    assert torch.allclose(voted.probabilities(given), torch.sigmoid(expected), atol=1e-5)
    shared = {
        **given,
        "covariates": given["covariates"][[0, 4]],
        "has_covariates": torch.tensor([[True] * 2, [True, False]]),
    }
    rows = torch.tensor([0, 1, 0])
    some = {**shared, "lonlat": given["lonlat"][:3], "covariates_of": rows}
    apart = {"lonlat": given["lonlat"][:3]} | {name: shared[name][rows] for name in ("covariates", "has_covariates")}
    assert torch.allclose(voted(some), voted(apart), atol=1e-6)


@torch.no_grad()
def test_the_answer_is_linear_in_the_embedding(both):
    _, voted = both
    z = voted.embed(batch())
    assert z.shape == (9, voted.width) == (9, 8 + 3)
    assert torch.allclose(voted.probabilities_of(z, slice(0, 3)).T, voted.probabilities(batch()), atol=1e-6)
    assert torch.allclose(voted.probabilities_of(z, slice(1, 2)), voted.probabilities_of(z, slice(0, 3))[1:2])
    mean = voted._logits(z.mean(0, keepdim=True), slice(None))
    assert torch.allclose(mean, voted._logits(z, slice(None)).mean(1, keepdim=True), atol=1e-5)


@torch.no_grad()
def test_species_may_be_forgotten(both):
    _, voted = both
    z, p = voted.embed(batch()), voted.probabilities(batch())
    columns = voted.columns_of([2, 0])
    voted.keep_species([2, 0])
    assert torch.allclose(voted.probabilities(batch()), p[:, [2, 0]], atol=1e-6)
    assert torch.allclose(voted.probabilities_of(z[:, columns], slice(0, 2)).T, p[:, [2, 0]], atol=1e-6)


@torch.no_grad()
def test_weights_bring_the_forest_along(both):
    _, voted = both
    other = SpeciesModel(CONFIG, 3).eval()
    nn.ModuleDict({"model": other}).load_state_dict({f"model.{k}": v for k, v in voted.state_dict().items()})
    assert torch.equal(other(batch()), voted(batch()))


@torch.no_grad()
def test_it_goes_by_what_the_model_knows(grown):
    x = np.random.default_rng(0).random((200, 2)).astype(np.float32)
    forest = of_sklearn(RandomForestRegressor(5, random_state=0).fit(x, (x > 0.5).astype(float)))
    places = batch()
    for config, given in (
        (CONFIG.model_copy(update={"location": None}), places["covariates"]),
        (CONFIG.model_copy(update={"covariates": ()}), places["lonlat"].float()),
    ):
        model = SpeciesModel(config, 2).eval()
        model.set_forest(forest, 0.9)
        expected = torch.lerp(model.head(model.embed(places)[:, :8]), forest.logits(given), 0.9)
        known = places["has_covariates"].all(-1) if config.covariates else slice(None)
        assert torch.allclose(model(places)[known], expected[known], atol=1e-5)

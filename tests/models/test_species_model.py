"""The species model."""

import pytest
import torch
from pydantic import ValidationError

from sdm_ray.models.calibration import KNOTS, Calibration
from sdm_ray.models.config import AlignConfig, LocationConfig, SpeciesConfig, TowerConfig
from sdm_ray.models.species_model import SpeciesModel

LOCATION = LocationConfig(hidden=16, depth=1, dim=8)
TOWER = TowerConfig(bands=4, mean=(1000.0,), std=(500.0,), nodata_zero=True, dim=8)
SPECIES = SpeciesConfig(location=LOCATION, satellite=TOWER, covariates=("a", "b"), hidden=16, depth=1, embedding=8)


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    has = torch.arange(count) % 3 != 0
    return {
        "lonlat": torch.stack([torch.linspace(-5, 20, count), torch.linspace(38, 60, count)], 1).double(),
        "place": torch.arange(count),
        "covariates": torch.randn(count, 2),
        "has_covariates": (torch.arange(count) != 1)[:, None].repeat(1, 2),
        "has_satellite": has,
        "image_satellite": torch.randint(1, 3000, (int(has.sum()), 4, 32, 32)).float(),
    }


def test_a_worker_without_an_image_reaches_every_parameter():
    model = SpeciesModel(SPECIES, 5).train()
    alone = {**batch(), "has_satellite": torch.zeros(6, dtype=torch.bool), "image_satellite": torch.zeros(0, 4, 32, 32)}
    model(alone).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_species_model_answers_whatever_is_missing():
    model = SpeciesModel(SPECIES, 5).eval()
    full = batch()
    bare = {
        **full,
        "has_satellite": torch.zeros(6, dtype=torch.bool),
        "image_satellite": full["image_satellite"][:0],
        "has_covariates": torch.zeros(6, 2, dtype=torch.bool),
    }
    assert model.probabilities(full).shape == (6, 5)
    assert torch.isfinite(model.probabilities(bare)).all()
    alone = {name: value[3:4] for name, value in bare.items() if name != "image_satellite"}
    alone["image_satellite"] = full["image_satellite"][:0]
    assert torch.allclose(model(bare)[3:4], model(alone), atol=1e-5)


@pytest.mark.parametrize("frequencies", [0, 4])
def test_covariates_that_places_share_are_given_once(frequencies):
    model = SpeciesModel(SPECIES.model_copy(update={"frequencies": frequencies}), 5).eval()
    full, which = batch(), torch.tensor([0, 1, 1, 0, 2, 0])
    shared = {**full, "covariates": full["covariates"][:3], "has_covariates": full["has_covariates"][:3]}
    own = {**full, **{name: shared[name][which] for name in ("covariates", "has_covariates")}}
    assert torch.allclose(model({**shared, "covariates_of": which}), model(own), atol=1e-6)


def test_a_place_may_know_some_covariates_and_not_others():
    """Only where asked for: what is known of a place then counts, and a learnt value stands for what is not."""
    whole, partly = (
        SpeciesModel(SPECIES.model_copy(update={"partial_covariates": on}), 5).eval() for on in (False, True)
    )
    torch.nn.init.normal_(whole.missing["covariates"])
    partly.load_state_dict(whole.state_dict())
    full = {**batch(), "has_covariates": torch.ones(6, 2, dtype=torch.bool)}
    some, none = (full["has_covariates"] & torch.tensor(each) for each in ([True, False], [False, False]))
    assert torch.equal(whole(full), partly(full))
    assert torch.equal(whole({**full, "has_covariates": none}), partly({**full, "has_covariates": none}))
    assert torch.equal(whole({**full, "has_covariates": some}), whole({**full, "has_covariates": none}))
    found = partly({**full, "has_covariates": some})
    other = {**full, "covariates": full["covariates"] + torch.tensor([0.0, 9.0]), "has_covariates": some}
    assert torch.equal(partly(other), found)  # what is said to be unknown is not looked at
    stands = partly.missing["covariates"][1] * partly.covariate_std[1] + partly.covariate_mean[1]
    filled = torch.stack([full["covariates"][:, 0], stands.expand(6)], 1)
    assert torch.allclose(partly({**full, "covariates": filled}), found, atol=1e-6)
    assert not torch.allclose(found, partly({**full, "has_covariates": none}))


def test_hiding_an_input_in_training_is_like_not_having_it():
    model = SpeciesModel(SPECIES.model_copy(update={"dropout": 0.0}), 5).train()
    full = batch()
    hidden = model({**full, "hide_covariates": torch.ones(6, dtype=torch.bool)})
    missing = model({**full, "has_covariates": torch.zeros(6, 2, dtype=torch.bool)})
    assert torch.equal(hidden, missing)


def test_the_head_starts_at_the_prevalences():
    model = SpeciesModel(SPECIES, 3).eval()
    model.set_prevalence(torch.tensor([0.5, 0.1, 0.0]))
    assert torch.allclose(model.probabilities(batch()).mean(0), torch.tensor([0.5, 0.1, 0.0]), atol=0.05)


def test_covariates_may_bend():
    torch.manual_seed(0)
    model = SpeciesModel(SPECIES.model_copy(update={"frequencies": 4}), 3).eval()
    step = {**batch(), "covariates": torch.linspace(-1, 1, 6)[:, None].repeat(1, 2)}
    assert model.periodic(step["covariates"]).shape == (6, model.periodic.dim) == (6, 18)
    bare = {**step, "has_covariates": torch.zeros(6, 2, dtype=torch.bool)}
    assert torch.isfinite(model(bare)).all() and not torch.allclose(model(bare), model(step))
    model(step).sum().backward()
    assert model.periodic.frequencies.grad.abs().sum() > 0


def test_classes_start_at_their_shares_and_sum_to_one():
    model = SpeciesModel(SPECIES.model_copy(update={"output": "class"}), 3).eval()
    model.set_prevalence(torch.tensor([0.6, 0.3, 0.1]))
    found = model.probabilities(batch())
    assert torch.allclose(found.sum(1), torch.ones(6)) and torch.allclose(
        found.mean(0), torch.tensor([0.6, 0.3, 0.1]), atol=0.05
    )


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (TowerConfig, {"bands": 4, "mean": (1.0, 2.0, 3.0)}, "mean has 3 numbers for 4 bands"),
        (TowerConfig, {"std": (0.0,)}, "std has 0; expected numbers above 0"),
        (LocationConfig, {"wavelengths_km": (500, 0)}, "wavelengths_km has 0; expected kilometres above 0"),
        (AlignConfig, {"towers": {}}, "at least one scale"),
    ],
)
def test_configurations_that_build_nothing_are_refused(kind, values, expected):
    with pytest.raises(ValidationError, match=expected):
        kind(**values)


@pytest.mark.parametrize(("output", "curved"), [("species", False), ("species", True), ("class", False)])
def test_blocks_of_species_and_chosen_species_are_calibrated_as_all_are(output, curved):
    model = SpeciesModel(SPECIES.model_copy(update={"output": output}), 5).eval()
    rising = torch.rand(5, len(KNOTS)).cumsum(1) / 2 - 12
    model.set_calibration(Calibration(torch.rand(5) + 0.5, torch.randn(5), rising if curved else None))
    with torch.no_grad():
        whole = model.probabilities(batch())
        z = model.embed(batch())
        parts = torch.cat([model.probabilities_of(z, part) for part in (slice(0, 2), slice(2, 5))])
        assert torch.allclose(parts.T, whole, atol=1e-6)
        again = SpeciesModel(model.config, 5).eval()
        again.load_state_dict(model.state_dict())
        assert torch.equal(again.probabilities(batch()), whole)
        if output == "species":
            model.keep_species([3, 0])
            assert torch.allclose(model.probabilities(batch()), whole[:, [3, 0]], atol=1e-6)
            assert torch.allclose(model.probabilities_of(z, slice(1, 2)).T, whole[:, :1], atol=1e-6)
    again.load_state_dict(SpeciesModel(model.config, 5).state_dict())  # one without a curve
    assert again.calibration_curve is None


def test_the_distance_of_an_image_counts_and_a_place_without_one_has_none():
    torch.manual_seed(0)
    model = SpeciesModel(SPECIES.model_copy(update={"image_distances": ("satellite",)}), 5).eval()
    step = batch()
    at_the_place, far = ({**step, "distance_satellite": torch.full((6,), each)} for each in (0.0, 900.0))
    same = (model(at_the_place) == model(far)).all(1)
    assert torch.equal(same, ~step["has_satellite"]) and torch.equal(model(step), model(at_the_place))

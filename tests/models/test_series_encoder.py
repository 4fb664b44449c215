"""Encoders of time series: any axes, any gaps, and the species model with them or without."""

import numpy as np
import pytest
import torch

from sdm_ray.models.batch import inputs_of
from sdm_ray.models.config import LocationConfig, SeriesConfig, SpeciesConfig
from sdm_ray.models.series_encoder import SeriesEncoder
from sdm_ray.models.species_model import SpeciesModel

AXES = {
    "light": {"band": ("red", "nir"), "quarter": (1, 2, 3, 4), "year": (2000, 2001, 2002)},
    "rain": {"kind": ("sum",), "month": tuple(range(12))},
}
SPECIES = SpeciesConfig(
    location=LocationConfig(hidden=16, depth=1, dim=8),
    series=SeriesConfig(axes=AXES, hidden=8, depth=1, dim=8),
    hidden=16,
    depth=1,
    embedding=8,
    dropout=0,
)
CONFIG = SeriesConfig(hidden=8, depth=1, dim=5)


@pytest.mark.parametrize("shape", [(2, 12), (6, 4, 21), (1, 3)])
def test_any_axes_of_time_become_an_embedding(shape):
    torch.manual_seed(0)
    encoder = SeriesEncoder(shape, CONFIG)
    values = torch.randn(3, *shape)
    made = encoder(values)
    assert made.shape == (3, 5)
    values[..., 0] += 1
    assert not torch.allclose(encoder(values), made)


def test_a_gap_is_told_from_the_mean_and_its_content_does_not_matter():
    torch.manual_seed(0)
    encoder = SeriesEncoder((2, 4, 3), CONFIG)
    encoder.standard.set(torch.tensor([5.0, 7.0]), torch.tensor([2.0, 0.0]))
    values = torch.randn(1, 2, 4, 3)
    mean, none, infinite = values.clone(), values.clone(), values.clone()
    mean[0, 0, 1], none[0, 0, 1], infinite[0, 0, 1] = 5, float("nan"), float("inf")
    assert torch.equal(encoder(none), encoder(infinite))
    assert not torch.allclose(encoder(none), encoder(mean))
    encoder(none).sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in encoder.parameters())


def batch(count: int = 4) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    series = {"light": rng.normal(size=(count, 2, 4, 3)), "rain": rng.normal(size=(count, 1, 12))}
    series["light"][1] = np.nan
    lonlat = np.column_stack([np.linspace(0, 20, count), np.linspace(40, 60, count)])
    series = {name: each.astype(np.float32) for name, each in series.items()}
    return inputs_of(SPECIES, lonlat, np.zeros((count, 0), np.float32), np.zeros((count, 0), bool), None, series)


def test_a_series_that_is_hidden_missing_or_not_given_is_the_same():
    torch.manual_seed(0)
    model = SpeciesModel(SPECIES, 3).train()
    torch.nn.init.normal_(model.missing["series_light"])
    full = batch()
    assert full["has_series_light"].tolist() == [True, False, True, True]
    hidden = model({**full, "hide_series_light": torch.ones(4, dtype=torch.bool)})
    absent = model({name: each for name, each in full.items() if "light" not in name})
    assert torch.allclose(hidden, absent, atol=1e-6)
    assert torch.allclose(model(full)[1], absent[1], atol=1e-6)
    assert not torch.allclose(model(full)[0], absent[0], atol=1e-3)


@pytest.mark.parametrize("rows", [4, 0])
def test_a_worker_without_a_series_reaches_every_parameter(rows):
    model = SpeciesModel(SPECIES, 3).train()
    nothing = {"series_light": torch.full((4, 2, 4, 3), float("nan")), "has_series_light": torch.zeros(4).bool()}
    model({name: each[:rows] for name, each in {**batch(), **nothing}.items()}).sum().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []


def test_real_cubes_are_encoded(data):
    """One survey of GeoLifeCLEF 2024: Landsat (band, quarter, year) and climate (variable, year, month)."""
    cubes = {}
    for name in ("landsat", "bioclim"):
        (file,) = (data / "glc24/TimeSeries-Cubes").rglob(f"*{name}*_cube.pt")
        cubes[name] = torch.load(file, weights_only=True).float()[None]
    assert cubes["landsat"].shape[1:] == (6, 4, 21) and cubes["bioclim"].shape[1:] == (4, 19, 12)
    for cube in cubes.values():
        encoder = SeriesEncoder(cube.shape[1:], SeriesConfig())
        channels = cube.transpose(0, 1).flatten(1)
        known = torch.isfinite(channels)
        mean = torch.stack([each[seen].mean() for each, seen in zip(channels, known, strict=True)])
        std = torch.stack([each[seen].std() for each, seen in zip(channels, known, strict=True)])
        encoder.standard.set(mean, std)
        made = encoder(cube)
        assert made.shape == (1, 64) and torch.isfinite(made).all()

"""Location encoders."""

import zipfile

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import sph_harm_y

from sdm_ray.errors import InputError
from sdm_ray.models.config import HashConfig, LocationConfig
from sdm_ray.models.geoclip import Capsules, equal_earth
from sdm_ray.models.hashgrid import HashGrid
from sdm_ray.models.location import LocationEncoder
from sdm_ray.models.satclip import Harmonics

LOCATION = LocationConfig(hidden=16, depth=1, dim=8)
PLACES = torch.stack([torch.linspace(-5, 20, 6), torch.linspace(38, 60, 6)], 1).double()
KINDS = ["ladder", "sincos", "harmonics", "capsules", "hashgrid"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [False, True])
def test_every_kind_gives_one_embedding_a_place(kind, time):
    encoder = LocationEncoder(LocationConfig(kind=kind, time=time, hidden=16, depth=1, dim=8))
    when = torch.tensor([[150.0, 2021.0]]).repeat(6, 1) if time else None
    found = encoder(PLACES, when)
    assert found.shape == (6, 8) and found.dtype == torch.float32
    assert torch.allclose(encoder(PLACES[2:3], when if when is None else when[:1]), found[2:3], atol=1e-5)
    assert len({tuple(row.tolist()) for row in found.detach()}) == 6


def test_the_ladder_tells_places_apart_at_its_shortest_wavelength_only():
    near = torch.tensor([[10.0, 52.0], [10.0015, 52.0]], dtype=torch.float64)  # 103 m
    coarse = LocationEncoder(LocationConfig(wavelengths_km=(250,))).features(near)
    fine = LocationEncoder(LocationConfig(wavelengths_km=(0.2,))).features(near)
    assert (coarse[0] - coarse[1]).abs().max() < 0.01
    assert (fine[0] - fine[1]).abs().max() > 0.5


def test_two_encoders_have_the_same_ladder():
    assert torch.equal(LocationEncoder(LOCATION).features.directions, LocationEncoder(LOCATION).features.directions)


def test_harmonics_are_those_of_scipy():
    degrees = 25
    lon, lat = np.deg2rad(PLACES.numpy()).T
    found = Harmonics(degrees)(PLACES).numpy()
    for degree in (0, 1, 2, 7, 24):
        for order in {0, 1, degree} & set(range(degree + 1)):
            complex_ = sph_harm_y(degree, order, np.pi / 2 - lat, lon)
            sign = (-1) ** order * (1 if order == 0 else np.sqrt(2))  # without the Condon-Shortley phase, real
            first = degree * degree + degree
            assert np.allclose(found[:, first + order], sign * complex_.real, atol=1e-5)
            if order:
                assert np.allclose(found[:, first - order], sign * complex_.imag, atol=1e-5)


def test_harmonics_of_many_degrees_stay_finite():
    found = Harmonics(60)(torch.tensor([[0.0, 89.999], [179.0, 0.0], [5.0, -90.0]], dtype=torch.float64))
    assert torch.isfinite(found).all() and found.abs().max() < 20


def published(seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights named and shaped as GeoCLIP's."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"capsule.0.b": (256, 2), "head.0.weight": (512, 1024), "head.0.bias": (512,)}
    for number, width in ((1, 512), (3, 1024), (5, 1024)):
        shapes |= {f"capsule.{number}.weight": (1024, width), f"capsule.{number}.bias": (1024,)}
    return {
        f"LocEnc{part}.{name}": torch.randn(shape, generator=generator) * 0.03
        for part in range(3)
        for name, shape in shapes.items()
    }


def test_published_weights_come_from_a_wheel_or_the_file_inside_it(tmp_path):
    torch.save(published(), tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "geoclip-0.whl", "w") as wheel:
        wheel.write(tmp_path / "w.pth", "geoclip/model/weights/location_encoder_weights.pth")
    files = [str(tmp_path / name) for name in ("w.pth", "geoclip-0.whl")]
    found = [Capsules(file)(PLACES) for file in files]
    assert torch.equal(*found)
    one = published()
    plane = (equal_earth(PLACES) * 66.50336 / 180).float()
    total = torch.zeros(6, 512)
    for part in range(3):
        turned = 2 * torch.pi * plane @ one[f"LocEnc{part}.capsule.0.b"].T
        values = torch.cat([turned.cos(), turned.sin()], 1)
        for number in (1, 3, 5):
            weight, bias = (one[f"LocEnc{part}.capsule.{number}.{name}"] for name in ("weight", "bias"))
            values = torch.relu(values @ weight.T + bias)
        total += values @ one[f"LocEnc{part}.head.0.weight"].T + one[f"LocEnc{part}.head.0.bias"]
    assert torch.allclose(found[0], total, atol=1e-3)
    frozen = LocationEncoder(LocationConfig(kind="capsules", weights=files[0], frozen=True, dim=4))
    assert [name for name, each in frozen.named_parameters() if each.requires_grad] == [
        "network.weight", "network.bias"
    ]  # fmt: skip


def test_the_projection_is_equal_earth():
    """Against values of PROJ's `eqearth` on a sphere of radius 1."""
    from pyproj import Proj

    plane = Proj("+proj=eqearth +R=1")
    expected = np.stack(plane(*PLACES.numpy().T), axis=1)
    assert np.allclose(equal_earth(PLACES).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"no file .*w\.pth; expected GeoCLIP's wheel"),
        (b"nothing", r"w\.pth cannot be read"),
        ({"LocEnc0.other": torch.zeros(1)}, r"holds no weights of GeoCLIP's location encoder"),
        ("narrow", r"w\.pth does not fit \(size mismatch"),
    ],
)
def test_weights_that_cannot_be_used_are_one_line(tmp_path, content, expected):
    if isinstance(content, bytes):
        (tmp_path / "w.pth").write_bytes(content)
    elif content is not None:
        narrow = {**published(), "LocEnc2.head.0.bias": torch.zeros(7)}
        torch.save(narrow if content == "narrow" else content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=expected):
        LocationEncoder(LocationConfig(kind="capsules", weights=str(tmp_path / "w.pth")))


def test_a_hash_grid_interpolates_between_corners_it_does_not_share():
    grid = HashGrid(400_000, 100, HashConfig(levels=4, table=4096, features=2))
    corner = grid.cells[0] * torch.tensor([10.0, 7.0], dtype=torch.float64)
    xy = corner + torch.stack([torch.linspace(0, float(grid.cells[0]), 5, dtype=torch.float64)] * 2, 1)
    found = grid._level(0, xy)
    assert torch.allclose(found[2], grid._level(0, torch.stack([corner, corner]) + grid.cells[0] / 2)[0])
    rows = lambda x, y: y * (8_000_000 // 400_000 + 2) + x  # noqa: E731
    assert torch.equal(found[0], grid.tables[0, rows(10, 7)]) and torch.equal(found[4], grid.tables[0, rows(11, 8)])
    near = grid._level(3, torch.tensor([[4e6, 3e6], [4e6 + 50, 3e6]], dtype=torch.float64))
    assert not torch.allclose(near[0], near[1])


@pytest.mark.parametrize("kind", ["ladder", "hashgrid"])
def test_short_wavelengths_come_in_late(kind):
    encoder = LocationEncoder(LocationConfig(kind=kind, anneal=True, hidden=16, depth=1, dim=8))
    levels = encoder.features.levels
    whole = encoder.features(PLACES)
    assert torch.equal(encoder.features.shares(), torch.ones(levels))  # without a call, everything is in
    encoder.at(0.0)
    assert encoder.features.shares().sum() == 0
    encoder.at(0.35)
    shares = encoder.features.shares()
    assert shares[0] == 1 and shares[-1] == 0 and (shares.diff() <= 0).all()
    encoder.at(0.7)
    assert torch.equal(encoder.features(PLACES), whole)


def test_what_is_not_known_of_the_time_makes_no_difference():
    encoder = LocationEncoder(LocationConfig(time=True, hidden=16, depth=1, dim=8))
    unknown = torch.full((6, 2), torch.nan)
    assert torch.equal(encoder(PLACES, unknown), encoder(PLACES))
    year = torch.stack([torch.full((6,), torch.nan), torch.full((6,), 2021.0)], 1)
    assert not torch.allclose(encoder(PLACES, year), encoder(PLACES))
    start, end = torch.tensor([[0.0, 2020.0]]), torch.tensor([[365.25, 2020.0]])
    assert torch.allclose(encoder(PLACES[:1], start), encoder(PLACES[:1], end), atol=1e-5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"weights": "w.pth"}, "weights and frozen: only for the kind capsules, found ladder"),
        ({"kind": "harmonics", "anneal": True}, "anneal: harmonics has no wavelengths"),
        ({"anneal": True, "wavelengths_km": (100, 200)}, "expected the longest first"),
        ({"kind": "hashgrid", "wavelengths_km": (100,)}, "its longest and its shortest cell"),
    ],
)
def test_settings_that_do_not_fit_the_kind_are_refused(values, expected):
    with pytest.raises(ValidationError, match=expected):
        LocationConfig(**values)

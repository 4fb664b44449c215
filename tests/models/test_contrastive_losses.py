"""The pair losses against plain autograd, on one worker and on several."""

import json
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.device_reads import reads
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from sdm_ray.models.contrastive_losses import info_nce, sigmoid
from sdm_ray.models.distributed import Ranks

N, D = 23, 7
LOSSES = ("info_nce", "sigmoid")
TRAINED = ("weight", "scale", "bias")
RADIUS = 900.0


def inputs(dtype: torch.dtype, near: bool) -> dict[str, Tensor]:
    """Features from one weight matrix, so that a parameter's gradient can be compared as well."""
    generator = torch.Generator().manual_seed(0)
    x, y, weight = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((N, 5), (N, 5), (5, D)))
    made = {"x": x.to(dtype), "y": y.to(dtype), "weight": weight.to(dtype)}
    made["scale"], made["bias"] = torch.tensor(14.0, dtype=dtype), torch.tensor(-3.0, dtype=dtype)
    made["place"] = torch.arange(N) // 2 % 8
    made["xy"] = torch.rand(N, 2, generator=generator, dtype=torch.float64) * (3000 if near else 1e9)
    for name in TRAINED:
        made[name].requires_grad_()
    return made


def plain(loss: str, made: dict[str, Tensor], radius: float) -> Tensor:
    a, b = normalize(made["x"] @ made["weight"], dim=1), normalize(made["y"] @ made["weight"], dim=1)
    same = made["place"][:, None] == made["place"][None]
    unused = (torch.cdist(made["xy"], made["xy"]) < radius) & ~same
    logits = made["scale"] * a @ b.T
    if loss == "sigmoid":
        sign = torch.where(same, 1.0, -1.0).to(logits)
        return -logsigmoid(sign * (logits + made["bias"])).masked_fill(unused, 0).sum() / len(a)
    logits = logits.masked_fill(unused, -torch.inf)
    rows = torch.where(same, torch.log_softmax(logits, 1), 0).sum(1) / same.sum(1)
    cols = torch.where(same, torch.log_softmax(logits, 0), 0).sum(0) / same.sum(0)
    return -(rows.mean() + cols.mean()) / 2 + 0 * made["bias"]


def ours(
    loss: str, made: dict[str, Tensor], radius: float, ranks: Ranks, share: slice, batch_rows: int | None = None
) -> Tensor:
    a = normalize(made["x"][share] @ made["weight"], dim=1)
    b = normalize(made["y"][share] @ made["weight"], dim=1)
    more = {"xy": made["xy"][share], "radius_m": radius, "ranks": ranks, "tile": 4, "batch_rows": batch_rows}
    if loss == "sigmoid":
        return sigmoid(a, b, made["scale"], made["bias"], made["place"][share], **more)
    return info_nce(a, b, made["scale"], made["place"][share], **more) + 0 * made["bias"]


def gradients(loss: Tensor, made: dict[str, Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [made[name] for name in TRAINED]))


def wrong(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest error, relative to the norm of what is expected; where that is 0, absolute."""
    errors = [
        (f.double() - e.double()).norm() / (e.double().norm() or 1.0) for f, e in zip(found, expected, strict=True)
    ]
    return float(max(errors))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("radius", [0.0, RADIUS])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_equal_to_plain_autograd(loss, radius, dtype, tolerance):
    made, exact = inputs(dtype, near=radius > 0), inputs(torch.float64, near=radius > 0)
    expected = plain(loss, exact, radius)
    found = ours(loss, made, radius, Ranks(), slice(None))
    assert found.dtype == dtype
    assert wrong([found, *gradients(found, made)], [expected, *gradients(expected, exact)]) < tolerance


def shares(world: int) -> list[slice]:
    """Uneven ones: of four ranks the second has no row at all."""
    edges = [0, 9, N] if world == 2 else [0, 3, 3, 12, N]
    return [slice(*pair) for pair in pairwise(edges)]


def cases() -> list[tuple[str, float, torch.dtype]]:
    return [(loss, radius, d) for loss in LOSSES for radius in (0.0, RADIUS) for d in (torch.float64, torch.float32)]


def _worker(rank: int, world: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    errors = {}
    for loss, radius, dtype in cases():
        made, exact = inputs(dtype, near=radius > 0), inputs(torch.float64, near=radius > 0)
        expected = plain(loss, exact, radius)
        found = ours(loss, made, radius, Ranks(rank, world), shares(world)[rank])
        grads = gradients(found, made)
        for grad in grads:
            dist.all_reduce(grad)
            grad /= world
        errors[f"{loss} {radius} {dtype}"] = wrong([found, *grads], [expected, *gradients(expected, exact)])
    if world == 2:
        errors["model"] = _through_a_model(rank)
        errors["reads"] = _reads(rank)
    with open(f"{out}-{rank}.json", "w") as file_:
        json.dump(errors, file_)
    dist.destroy_process_group()


def _reads(rank: int) -> int:
    """How often both losses and their gradients read from the device where each rank has its share of the batch."""
    made, ranks = inputs(torch.float32, near=True), Ranks(rank, 2)
    with reads() as found:
        for loss in LOSSES:
            gradients(ours(loss, made, RADIUS, ranks, ranks.share(N), batch_rows=N), made)
    return len(found.names)


def _through_a_model(rank: int) -> float:
    """Gradients of all weights of an alignment model under data parallel training, beside those of one process.

    The second worker has no satellite image.
    """
    # Imported here, because the workers that do without would spend most of their time on it.
    from sdm_ray.models.config import AlignConfig, LocationConfig, TowerConfig
    from sdm_ray.models.contrastive_model import AlignmentModel

    tower = TowerConfig(name="test_resnet", dim=4)
    location, towers = LocationConfig(hidden=8, depth=1, dim=4), {"plant": tower, "satellite": tower}
    config = AlignConfig(location=location, towers=towers, cross_scale_pairs=(("plant", "satellite"),))
    has = {"plant": torch.tensor([1, 1, 0, 1, 1, 0]).bool(), "satellite": torch.tensor([1, 1, 1, 0, 0, 0]).bool()}
    torch.manual_seed(0)
    model, lonlat = AlignmentModel(config), torch.rand(6, 2, dtype=torch.float64) * 20 + 35
    images = {scale: torch.rand(6, 3, 32, 32) * 255 for scale in has}

    def batch(rows: slice) -> dict[str, dict[str, Tensor]]:
        shared = {"lonlat": lonlat, "place": torch.arange(6)}
        made = {
            scale: {name: each[rows][own[rows]] for name, each in {**shared, f"image_{scale}": images[scale]}.items()}
            for scale, own in has.items()
        }
        both = {**shared, **{f"image_{scale}": each for scale, each in images.items()}}
        return made | {"plant-satellite": {name: each[rows] for name, each in both.items()}}

    def total(module: nn.Module, rows: slice, ranks: Ranks) -> Tensor:
        pairs = module(batch(rows))[0].values()
        return sum(info_nce(p.other, p.location, p.logit_scale, p.place, ranks=ranks) for p in pairs)

    total(model, slice(None), Ranks()).backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    parallel = nn.parallel.DistributedDataParallel(model)
    total(parallel, [slice(0, 3), slice(3, 6)][rank], Ranks(rank, 2)).backward()
    found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    return wrong([found], [torch.cat([e.flatten() for e in expected])])


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_with_uneven_shares_give_the_global_loss_and_gradient(tmp_path, world):
    mp.spawn(_worker, (world, str(tmp_path / "rendezvous"), str(tmp_path / "rank")), nprocs=world)
    for rank in range(world):
        errors = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert len(errors) == len(cases()) + 2 * (world == 2)
        for case, error in errors.items():
            tolerance = 1e-10 if "float64" in case else 1e-5 if case == "model" else 1e-6
            assert error < tolerance, (rank, case)


def unit(rows: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def with_bias(image: Tensor, location: Tensor, scale: Tensor, place: Tensor, **more: object) -> Tensor:
    return sigmoid(image, location, scale, torch.tensor(0.0), place, **more)


both = pytest.mark.parametrize("loss", [info_nce, with_bias])
Loss = Callable[..., Tensor]


@both
def test_large_logits_do_not_overflow(loss: Loss):
    image, location = unit(40).requires_grad_(), unit(40, 1).requires_grad_()
    value = loss(image, location, torch.tensor(1e4), torch.arange(40), tile=16)
    exact = loss(image.double(), location.double(), torch.tensor(1e4).double(), torch.arange(40))
    assert torch.isclose(value.double(), exact, rtol=1e-5)
    assert all(torch.isfinite(grad).all() for grad in torch.autograd.grad(value, [image, location]))


@both
def test_mixed_precision_changes_neither_loss_nor_gradient(loss: Loss):
    image, location = unit(40).requires_grad_(), unit(40, 1)
    expected = loss(image, location, torch.tensor(50.0), torch.arange(40))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(image, location, torch.tensor(50.0), torch.arange(40))
        (found_grad,) = torch.autograd.grad(found, image)
    assert torch.equal(found, expected)
    assert torch.equal(found_grad, *torch.autograd.grad(expected, image))


@both
def test_half_features_are_summed_in_float32(loss: Loss):
    image, location = unit(40).bfloat16().requires_grad_(), unit(40, 1).bfloat16()
    found = loss(image, location, torch.tensor(50.0), torch.arange(40))
    expected = loss(image.float(), location.float(), torch.tensor(50.0), torch.arange(40))
    assert torch.equal(found, expected)
    assert torch.autograd.grad(found, image)[0].dtype == torch.bfloat16


@both
def test_distances_are_right_in_float32(loss: Loss):
    generator = torch.Generator().manual_seed(0)
    xy = torch.tensor([4_321_000.0, 3_210_000.0]) + (torch.rand(40, 2, generator=generator) * 3000).round()
    given = (unit(40), unit(40, 1), torch.tensor(20.0), torch.arange(40))
    assert torch.equal(loss(*given, xy=xy, radius_m=500.5), loss(*given, xy=xy.double(), radius_m=500.5))
    assert loss(*given, xy=xy, radius_m=500.5) < loss(*given)


@both
def test_no_pairs_cost_nothing(loss: Loss):
    image = unit(0).requires_grad_()
    value = loss(image, unit(0), torch.tensor(20.0), torch.arange(0))
    assert value == 0
    assert torch.autograd.grad(value, image)[0].shape == (0, 8)


@both
def test_aligned_pairs_cost_less_than_shuffled_ones(loss: Loss):
    features, place, scale = unit(40), torch.arange(40), torch.tensor(10.0)
    assert loss(features, features, scale, place) < loss(features, features.flip(0), scale, place)

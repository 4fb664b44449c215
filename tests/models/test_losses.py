"""The pair loss against plain autograd, on one worker and on several."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.functional import normalize

from sdm_ray.models.losses import Workers, bce, info_nce

N, D = 23, 7


def inputs(dtype: torch.dtype, near: bool) -> dict[str, torch.Tensor]:
    """Features from one weight matrix, so that a parameter's gradient can be compared as well."""
    generator = torch.Generator().manual_seed(0)
    made = {
        "x": torch.randn(N, 5, generator=generator, dtype=dtype),
        "y": torch.randn(N, 5, generator=generator, dtype=dtype),
        "weight": torch.randn(5, D, generator=generator, dtype=dtype),
        "scale": torch.tensor(14.0, dtype=dtype),
        "place": torch.arange(N) // 2 % 8,
        "xy": torch.rand(N, 2, generator=generator, dtype=torch.float64) * (3000 if near else 1e9),
    }
    return made


def plain(made: dict[str, torch.Tensor], radius: float) -> torch.Tensor:
    a, b = normalize(made["x"] @ made["weight"], dim=1), normalize(made["y"] @ made["weight"], dim=1)
    logits = made["scale"] * a @ b.T
    same = made["place"][:, None] == made["place"][None]
    if radius:
        near = torch.cdist(made["xy"], made["xy"]) < radius
        logits = logits.masked_fill(near & ~same, -torch.inf)
    rows = torch.where(same, torch.log_softmax(logits, 1), 0).sum(1) / same.sum(1)
    cols = torch.where(same, torch.log_softmax(logits, 0), 0).sum(0) / same.sum(0)
    return -(rows.mean() + cols.mean()) / 2


def ours(made: dict[str, torch.Tensor], radius: float, workers: Workers, share: slice) -> torch.Tensor:
    a = normalize(made["x"][share] @ made["weight"], dim=1)
    b = normalize(made["y"][share] @ made["weight"], dim=1)
    place, xy = made["place"][share], made["xy"][share]
    return info_nce(a, b, made["scale"], place, xy=xy, radius_m=radius, workers=workers, tile=4)


def gradients(loss: torch.Tensor, made: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [made["weight"], made["scale"]]))


def tracked(made: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name in ("weight", "scale"):
        made[name].requires_grad_()
    return made


@pytest.mark.parametrize("radius", [0.0, 900.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_equal_to_plain_autograd(radius, dtype, tolerance):
    made = tracked(inputs(dtype, near=radius > 0))
    expected = plain(made, radius)
    loss = ours(made, radius, Workers(), slice(None))
    assert torch.allclose(loss, expected, rtol=tolerance)
    for ours_, theirs in zip(gradients(loss, made), gradients(expected, made), strict=True):
        assert torch.allclose(ours_, theirs, rtol=tolerance, atol=tolerance * theirs.abs().max())


def _worker(rank: int, world: int, file: str, radius: float, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    made = tracked(inputs(torch.float64, near=radius > 0))
    # Uneven shares: the last worker has the most.
    edges = [round(N * (k / world) ** 1.5) for k in range(world + 1)]
    loss = ours(made, radius, Workers(rank, world), slice(edges[rank], edges[rank + 1]))
    grads = gradients(loss, made)
    for grad in grads:
        dist.all_reduce(grad)
        grad /= world
    np.savez(f"{out}-{rank}.npz", loss=loss.item(), weight=grads[0].numpy(), scale=grads[1].numpy())
    dist.destroy_process_group()


@pytest.mark.parametrize(("world", "radius"), [(2, 900.0), (4, 0.0)])
def test_workers_with_uneven_shares_give_the_global_loss_and_gradient(tmp_path, world, radius):
    mp.spawn(_worker, (world, str(tmp_path / "rendezvous"), radius, str(tmp_path / "rank")), nprocs=world)
    made = tracked(inputs(torch.float64, near=radius > 0))
    expected = plain(made, radius)
    weight, scale = gradients(expected, made)
    for rank in range(world):
        found = np.load(tmp_path / f"rank-{rank}.npz")
        assert np.isclose(found["loss"], expected.item(), rtol=1e-11)
        assert np.allclose(found["weight"], weight.numpy(), rtol=1e-10, atol=1e-12)
        assert np.isclose(found["scale"], scale.item(), rtol=1e-10)


def test_large_logits_do_not_overflow():
    features = normalize(torch.randn(40, 8), dim=1)
    loss = info_nce(features, features, torch.tensor(1e4), torch.arange(40), tile=16)
    assert torch.isfinite(loss)
    assert loss < 1e-3


def test_aligned_pairs_cost_less_than_shuffled_ones():
    features = normalize(torch.randn(40, 8), dim=1)
    place, scale = torch.arange(40), torch.tensor(10.0)
    assert info_nce(features, features, scale, place) < info_nce(features, features.flip(0), scale, place)


def test_bce_means_over_rows_and_species():
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.5]])
    labels = torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8)
    p = torch.sigmoid(logits)
    expected = -torch.where(labels.bool(), p.log(), (1 - p).log()).mean()
    assert torch.isclose(bce(logits, labels), expected)

"""Memory and time of the pair losses beside their plain implementations and open_clip's.

Saved activations are what autograd keeps between the forward and the backward pass, each storage counted once, less
the inputs. Time is that of forward and backward pass together, the median of several runs, the contenders taking
turns. A contender that is not installed is said to be so.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from sdm_ray.models.contrastive_losses import info_nce, sigmoid

try:
    from open_clip.loss import ClipLoss, SigLipLoss
except ImportError:
    ClipLoss = SigLipLoss = None

DIM = 512
TILE = 1024
LARGE = 32_768  # pairs that the plain implementation does not find memory for on a small machine
MEMORY_GOAL = 0.1  # of the plain implementation's saved activations
TIME_GOAL = 1.45  # times the plain implementation's time: one of three products is computed twice
ERROR_GOAL = 1e-5

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def plain_info_nce(image: Tensor, location: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Both cross-entropies of one matrix of logits."""
    logits, target = scale * image @ location.T, torch.arange(len(image))
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def plain_sigmoid(image: Tensor, location: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Every combination at once."""
    sign = 2 * torch.eye(len(image)) - 1
    return -logsigmoid(sign * (scale * image @ location.T + bias)).sum() / len(image)


def contenders() -> dict[str, dict[str, Loss | None]]:
    """For each loss ours, the plain one and open_clip's, None where that is not installed."""
    clip, siglip = (None, None) if ClipLoss is None else (ClipLoss(), SigLipLoss())
    return {
        "info_nce": {
            "tiled": lambda a, b, s, _: info_nce(a, b, s, torch.arange(len(a)), tile=TILE),
            "plain": plain_info_nce,
            "open_clip ClipLoss": clip and (lambda a, b, s, _: clip(a, b, s)),
        },
        "sigmoid": {
            "tiled": lambda a, b, s, t: sigmoid(a, b, s, t, torch.arange(len(a)), tile=TILE),
            "plain": plain_sigmoid,
            "open_clip SigLipLoss": siglip and siglip,
        },
    }


def inputs(rows: int) -> list[Tensor]:
    """Images, coordinates, scale and bias."""
    generator = torch.Generator().manual_seed(0)
    features = [normalize(torch.randn(rows, DIM, generator=generator), dim=1) for _ in range(2)]
    return [each.requires_grad_() for each in (*features, torch.tensor(14.3), torch.tensor(-10.0))]


def saved_mib(loss: Loss, given: list[Tensor]) -> float:
    """MiB that autograd keeps for the backward pass, each storage once, without the inputs."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss(*given)  # held, so that no storage is freed and its address used again
    for tensor in given:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    del value
    return sum(storages.values()) / 2**20


def run(loss: Loss, given: list[Tensor]) -> tuple[float, list[Tensor]]:
    """Seconds of forward and backward pass, and the gradients of the features and the scale."""
    start = time.perf_counter()
    grads = torch.autograd.grad(loss(*given), given[:3])
    return time.perf_counter() - start, list(grads)


def measure(rows: int, repeats: int) -> list[dict[str, object]]:
    """Print the table; return the figures."""
    given, figures = inputs(rows), []
    print(f"{rows} pairs of {DIM} numbers, tiles of {TILE}, {repeats} runs")
    print(f"{'loss':<10}{'implementation':<24}{'saved MiB':>10}{'seconds':>9}{'of plain':>10}")
    for name, losses in contenders().items():
        there = {who: loss for who, loss in losses.items() if loss is not None}
        memory = {who: saved_mib(loss, given) for who, loss in there.items()}
        grads = {who: run(loss, given)[1] for who, loss in there.items()}
        rounds = [{who: run(loss, given)[0] for who, loss in there.items()} for _ in range(repeats)]
        for who in losses:
            if who not in there:
                print(f"{name:<10}{who:<24}  not installed")
                continue
            seconds = statistics.median(each[who] for each in rounds)
            ratio = statistics.median(each[who] / each["plain"] for each in rounds)
            print(f"{name:<10}{who:<24}{memory[who]:>10.1f}{seconds:>9.3f}{ratio:>10.2f}")
        slower = statistics.median(each["tiled"] / each["plain"] for each in rounds)
        error = max(float((a - b).norm() / b.norm()) for a, b in zip(grads["tiled"], grads["plain"], strict=True))
        figures += [
            figure(
                f"{name} saved activations of plain, {rows} pairs",
                memory["tiled"] / memory["plain"],
                "ratio",
                MEMORY_GOAL,
            ),
            figure(f"{name} time of plain, {rows} pairs", slower, "ratio", TIME_GOAL),
            figure(f"{name} gradient error beside plain", error, "relative", ERROR_GOAL),
        ]
    return figures


def figure(name: str, value: float, unit: str, goal: float) -> dict[str, object]:
    """One figure, which holds where it is at most its goal."""
    return {"figure": name, "value": float(f"{value:.3g}"), "unit": unit, "goal": goal, "holds": value <= goal}


def large() -> list[dict[str, object]]:
    """The tiled loss at a size of its own; the plain one's logits alone are computed, not measured."""
    given = inputs(LARGE)
    tiled = contenders()["info_nce"]["tiled"]
    assert tiled is not None
    memory, (seconds, _) = saved_mib(tiled, given), run(tiled, given)
    plain = 3 * 4 * LARGE**2 / 2**20  # logits and two softmaxes, float32
    shown = f"tiled saves {memory:.0f} MiB, {seconds:.1f} s; plain's three matrices are {plain:.0f} MiB"
    print(f"{LARGE} pairs of {DIM} numbers: {shown}")
    return [
        figure(f"info_nce saved activations of plain's, computed, at {LARGE}", memory / plain, "ratio", MEMORY_GOAL)
    ]

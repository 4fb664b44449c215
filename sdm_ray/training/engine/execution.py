"""How steps are carried out on a device: what changes the speed and, beyond rounding, no result."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from sdm_ray.batch import Array, Batch
from sdm_ray.cores import usable_cores
from sdm_ray.models.batch import compact
from sdm_ray.models.distributed import Ranks
from sdm_ray.training.engine.config import WorkersConfig

_CHECK_STEPS = 16  # of a GPU, on which a check waits for all that is under way
_WARM_UP = 3  # steps before those that are profiled


@dataclass(frozen=True)
class Execution:
    """How the steps of a fit are carried out.

    Attributes:
        compiled: whether to use torch.compile.
        accumulate: parts of a rank's rows of a step, whose gradients are summed.
        check_steps: steps between two looks at the losses and at the clock; None: 1 on a CPU, 16 on a GPU.
        tf32: whether matrix products and convolutions of float32 may use TF32.
        channels_last: whether images and weights of convolutions are kept channels last.
        profile: file for a trace of some steps (Chrome's format); None for none.
        profile_steps: how many.
    """

    compiled: bool = False
    accumulate: int = 1
    check_steps: int | None = None
    tf32: bool = False
    channels_last: bool = False
    profile: str | None = None
    profile_steps: int = 0

    @classmethod
    def of(cls, workers: WorkersConfig, profile: str | None = None) -> Self:
        """As it is configured."""
        return cls(
            compiled=workers.compile,
            accumulate=workers.accumulate,
            check_steps=workers.check_steps,
            tf32=workers.tf32,
            channels_last=workers.channels_last,
            profile=profile if workers.profile_steps else None,
            profile_steps=workers.profile_steps,
        )

    def checks(self, step: int, device: str) -> bool:
        """Whether losses and clock are looked at after so many steps."""
        return step % (self.check_steps or (_CHECK_STEPS if on_gpu(device) else 1)) == 0

    def placed(self, objective: nn.Module, device: str) -> nn.Module:
        """The module on its device, in the wanted memory format, with the wanted precision of products.

        Torch counts the cores of the machine: its threads are lowered to those that this process may use, in a pod.
        """
        if torch.get_num_threads() > usable_cores():
            torch.set_num_threads(usable_cores())
        if on_gpu(device):
            torch.backends.cuda.matmul.fp32_precision = "tf32" if self.tf32 else "ieee"
            torch.backends.cudnn.conv.fp32_precision = "tf32" if self.tf32 else "ieee"  # type: ignore[attr-defined]
        placed = objective.to(device)
        return placed.to(memory_format=torch.channels_last) if self.channels_last else placed

    def distributed(self, objective: nn.Module, ranks: Ranks) -> nn.Module:
        """The module as steps call it: over all ranks, compiled where that is wanted."""
        stepper: Any = objective
        if ranks.world > 1:
            devices = [ranks.device] if on_gpu(ranks.device) else None
            stepper = nn.parallel.DistributedDataParallel(objective, device_ids=devices, broadcast_buffers=False)
        made: nn.Module = torch.compile(stepper) if self.compiled else stepper  # type: ignore[assignment]
        return made

    def profiler(self, rank: int) -> "Profiler":
        """Profiles some steps of rank 0, or does nothing."""
        return Profiler(self.profile if rank == 0 else None, self.profile_steps)


class Profiler:
    """Writes a trace of some steps, once the first ones are over."""

    def __init__(self, file: str | None, steps: int) -> None:
        self._file, self._steps = file, steps
        self._seen = 0
        self._profile: torch.profiler.profile | None = None

    def step(self) -> None:
        """Note that a step is over."""
        if self._file is None:
            return
        self._seen += 1
        if self._seen == _WARM_UP:
            kinds = [torch.profiler.ProfilerActivity.CPU]
            kinds += [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profile = torch.profiler.profile(activities=kinds)
            self._profile.start()
        elif self._profile is not None and self._seen == _WARM_UP + self._steps:
            self.close()

    def close(self) -> None:
        """Write what was recorded."""
        if self._profile is not None and self._file is not None:
            self._profile.stop()
            Path(self._file).parent.mkdir(parents=True, exist_ok=True)
            self._profile.export_chrome_trace(self._file)
        self._profile = self._file = None


def on_gpu(device: str) -> bool:
    """Whether a device computes beside its process."""
    return device.startswith("cuda")


def seed(number: int, device: str) -> None:
    """As `torch.manual_seed`, which takes a quarter of a millisecond longer without a GPU."""
    if on_gpu(device):
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def tensors(batch: Batch[Array], ranks: Ranks) -> Batch[torch.Tensor]:
    """Arrays of a stream as tensors on the rank's device, with the images that there are (`models.batch.compact`).

    Views of Ray's store, which must not be written to, are copied.
    """
    given = compact(batch)
    found = {
        name: torch.from_numpy(values if values.flags.writeable else values.copy()) for name, values in given.items()
    }
    if on_gpu(ranks.device):  # from pinned memory a copy goes on while the process and the GPU do other things
        return Batch({name: each.pin_memory().to(ranks.device, non_blocking=True) for name, each in found.items()})
    return Batch({name: each.to(ranks.device) for name, each in found.items()})


def parts(batch: dict[str, Batch[Array]], count: int) -> Iterator[dict[str, Batch[Array]]]:
    """The rows of a rank's batch in so many parts, which may differ by a row."""
    if count == 1:
        yield batch
        return
    for number in range(count):
        yield {
            name: Batch({key: np.array_split(values, count)[number] for key, values in each.items()})
            for name, each in batch.items()
        }


def one_ahead(items: Iterable[Any], move: Callable[[Any], Any], device: str) -> Generator[tuple[Any, Any]]:
    """Each item with what `move` makes of it; on a GPU the next one is copied while a step is computed.

    Args:
        items: batches.
        move: brings one to the device.
        device: where steps are computed.
    """
    if not on_gpu(device):
        yield from ((item, move(item)) for item in items)
        return
    copies = torch.cuda.Stream(device)

    def moved(item: Any) -> tuple[Any, Any]:  # noqa: ANN401 - any batch
        with torch.cuda.stream(copies):
            return item, move(item)

    waiting = None
    for item in items:
        following = moved(item)
        if waiting is not None:
            yield _ready(*waiting, copies)
        waiting = following
    if waiting is not None:
        yield _ready(*waiting, copies)


def _ready(item: Any, moved: Any, copies: Any) -> tuple[Any, Any]:  # noqa: ANN401 - any batch, a stream
    """Have steps wait for the copies of their batch, and its memory not be given away before they are done."""
    current = torch.cuda.current_stream()
    current.wait_stream(copies)
    for part in moved:
        for batch in part.values():
            for tensor in batch.values():
                tensor.record_stream(current)
    return item, moved


def without_exchange(stepper: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
    """Gradients of all parts of a step but the last stay on their rank."""
    quiet = getattr(stepper, "no_sync", None)
    return nullcontext() if last or quiet is None else quiet()

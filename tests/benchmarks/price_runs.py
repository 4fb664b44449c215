"""What Ray costs: the same model trained by our loop on Ray Train, by a bare loop, and from memory."""

import io
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from trees_data import prepared
from upath import UPath

from sdm_ray.job import Job
from sdm_ray.models.config import AlignConfig, LocationConfig, TowerConfig
from sdm_ray.models.contrastive_model import AlignmentModel
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.shards import Shards
from sdm_ray.streams.image_dataset import ImageDataset, photos_of
from sdm_ray.streams.loader import Stream
from sdm_ray.streams.sampler import Sampler
from sdm_ray.training.engine.config import OptimConfig, WorkersConfig
from sdm_ray.training.engine.launch import launch
from sdm_ray.training.engine.trainer import Fit
from sdm_ray.training.pretrain.objective import AlignmentLoss

BATCH, SIZE = 256, 64
SHARE_GOAL = 0.95  # of the bare loop's steps a second
_WARM = 2  # steps that are not counted


def objective() -> AlignmentLoss:
    """The model of reference."""
    torch.manual_seed(0)
    location = LocationConfig(kind="sincos", hidden=256, depth=4, dim=128)
    model = AlignmentModel(AlignConfig(location=location, towers={"satellite": TowerConfig(name="resnet18")}))
    return AlignmentLoss(model, {"satellite": 1.0})


class Timed(nn.Module):
    """Notes in a file when each step begins; a training loop sees nothing of it."""

    def __init__(self, inner: nn.Module, file: str) -> None:
        super().__init__()
        self.inner, self.file = inner, file
        self.out: int | None = None  # opened where it is used; unlike a file it can be copied

    def forward(self, batches: dict, ranks: Ranks) -> Tensor:
        """The inner loss."""
        if self.out is None:
            self.out = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self.out, f"{time.time()}\n".encode())
        return self.inner(batches, ranks)


@dataclass(frozen=True)
class OneFit:
    """The fit for Ray Train; picklable."""

    dataset: ImageDataset
    steps: int
    file: str

    def __call__(self, ranks: Ranks) -> Iterator[Fit]:
        """Once."""
        yield Fit(
            name="price",
            seed=0,
            optim=OptimConfig(epochs=1, batch=BATCH),
            steps_per_epoch=self.steps,
            streams={"satellite": Stream(self.dataset, Sampler(len(self.dataset.lonlat), 0), BATCH)},
            objective=lambda: Timed(objective(), self.file),
            validate=lambda module, ranks: {},
            save=lambda trained: None,
        )


class Patches(Dataset):
    """The same shards for a DataLoader."""

    def __init__(self, dataset: ImageDataset) -> None:
        self.dataset, self.shards = dataset, Shards(UPath(dataset.shards))

    def __len__(self) -> int:
        return len(self.dataset.lonlat)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        (content,) = self.shards.read(self.dataset.rows[number : number + 1])
        image = np.array(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)
        return {"image_satellite": image, "lonlat": self.dataset.lonlat[number], "place": self.dataset.place[number]}


def bare(batches: Iterable[dict[str, Tensor]], steps: int) -> list[float]:
    """When each step of a plain loop begins."""
    module, begins = objective(), []
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    for batch in itertools.islice(batches, steps):
        begins.append(time.time())
        optimiser.zero_grad(set_to_none=True)
        loss = module({"satellite": batch}, Ranks())
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        loss.item()
    return begins


def price(runs: str, steps: int, rounds: int) -> list[dict[str, object]]:
    """Print the table; return the figures: medians of rounds, in each of which every loop runs in its turn."""
    import ray

    from sdm_ray.ray_runtime import connect

    folder = UPath(runs).absolute()
    prepared(folder)
    dataset = photos_of(folder / "shards", "satellite", SIZE)
    torch.set_num_threads(2)
    loader = DataLoader(Patches(dataset), BATCH, shuffle=True, num_workers=1, drop_last=True)
    first = {name: torch.from_numpy(values.copy()) for name, values in dataset.read(*[np.arange(BATCH)] * 2).items()}
    print(f"ResNet-18 at {SIZE} px, batch {BATCH}, {rounds} rounds of {steps} steps, 2 threads")
    shares, overs = [], []
    for _ in range(rounds):
        seconds = {
            "bare loop, DataLoader": _step(bare(loader, steps)),
            "bare loop, in memory": _step(bare(itertools.repeat(first), steps)),
        }
        connect()
        seconds["Ray Train, our streams"] = _step(_under_ray(dataset, steps))
        ray.shutdown()
        for name, each in seconds.items():
            print(f"{name:<24}{1 / each:>8.3f} steps/s {each / BATCH * 1e6:>8.0f} us a sample")
        shares.append(seconds["bare loop, DataLoader"] / seconds["Ray Train, our streams"])
        overs.append((seconds["Ray Train, our streams"] - seconds["bare loop, in memory"]) / BATCH * 1e6)
    share, over = statistics.median(shares), statistics.median(overs)
    return [
        {"figure": "steps/s under Ray of a bare DataLoader loop", "value": round(share, 3), "unit": "ratio",
         "goal": SHARE_GOAL, "holds": share >= SHARE_GOAL},
        {"figure": "overhead beside tensors in memory", "value": round(over), "unit": "us a sample", "goal": None,
         "holds": True},
    ]  # fmt: skip


def _under_ray(dataset: ImageDataset, steps: int) -> list[float]:
    """When each step of the training under Ray Train begins."""
    with tempfile.TemporaryDirectory() as place:
        job = Job(UPath(place) / "out", "price", {}, resumed=False, tracker=None)  # type: ignore[arg-type]
        launch(OneFit(dataset, steps, f"{place}/begins"), job, WorkersConfig(count=1, threads=2, checkpoint_s=1e9))
        return [float(line) for line in (Path(place) / "begins").read_text().splitlines()]


def _step(begins: list[float]) -> float:
    """Seconds of a step, without the first ones."""
    return statistics.median(np.diff(begins[_WARM:]).tolist())

"""A small regression with everything the loop needs, in memory."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sdm_ray.batch import Batch
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.streams.loader import Stream
from sdm_ray.streams.parts import Decoded
from sdm_ray.streams.sampler import Sampler
from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.engine.trainer import Fit, Trained

N, BATCH = 50, 12


@dataclass(frozen=True)
class Points:
    """y = sin(3 x) at N points; one place may hold what is no number."""

    bad: int = -1

    def parts(self) -> list[Decoded]:
        return [Decoded(self.read)]

    def read(self, ids: np.ndarray, epochs: np.ndarray) -> Batch:
        x = (ids[:, None] / N).astype(np.float32)
        y = np.sin(3 * x)
        y[ids == self.bad] = np.nan
        return Batch({"x": x, "y": y, "place": ids})


class Squares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 16), nn.GELU(), nn.Linear(16, 1))

    def forward(self, batches, ranks):
        part = batches["points"]
        loss = ((self.net(part["x"]) - part["y"]) ** 2).sum() / BATCH
        return loss * ranks.world


@dataclass
class Toy:
    """One fit, which may kill its process once, on the way."""

    folder: str
    kill_at: int = -1
    bad: int = -1
    steps_per_epoch: int = 4
    epochs: int = 5
    ema: float | None = None
    precision: str = "float32"
    seen: list = field(default_factory=list)

    def __call__(self, ranks: Ranks = ALONE) -> Iterator[Fit]:
        if not ranks.first((Path(self.folder) / "weights.pt").exists):
            yield Fit(
                name="toy",
                seed=3,
                optim=OptimConfig(lr=0.01, epochs=self.epochs, batch=BATCH, ema=self.ema, precision=self.precision),
                steps_per_epoch=self.steps_per_epoch,
                streams={"points": Stream(Points(self.bad), Sampler(N, seed=5), BATCH)},
                objective=self.objective,
                validate=lambda objective, ranks: {"first": float(next(objective.parameters()).flatten()[0])},
                save=self.save,
            )

    def objective(self) -> nn.Module:
        toy = self

        class Watched(Squares):
            steps = 0

            def forward(self, batches, ranks):
                with (Path(toy.folder) / f"places-{ranks.rank}.txt").open("a") as file:
                    print(*batches["points"]["place"].tolist(), file=file)
                self.steps += 1
                once = Path(toy.folder) / "killed"
                if self.steps == toy.kill_at and ranks.rank == ranks.world - 1 and not once.exists():
                    once.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().forward(batches, ranks)

        return Watched()

    def save(self, trained: Trained) -> None:
        torch.save(trained.objective.state_dict(), Path(self.folder) / "weights.pt")
        (Path(self.folder) / "history.json").write_text(json.dumps(trained.history))

    def places(self, world: int) -> list[list[int]]:
        """The places of each step, all ranks together."""
        ranks = [(Path(self.folder) / f"places-{rank}.txt").read_text().splitlines() for rank in range(world)]
        return [[int(place) for part in step for place in part.split()] for step in zip(*ranks, strict=True)]

    def losses(self) -> list[float]:
        """The mean loss of each epoch."""
        return [epoch["loss"] for epoch in json.loads((Path(self.folder) / "history.json").read_text())]

    def weights(self) -> dict[str, torch.Tensor]:
        return torch.load(Path(self.folder) / "weights.pt", weights_only=True)

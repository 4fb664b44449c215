"""Checkpoints of a training run: each class is a `trainer.Checkpointer`."""

import io
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from upath import UPath

from sdm_ray.stores.files import replacing

State = dict[str, Any]


class _Timed:
    """Saves a state every so many seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self._last >= self._every_s

    def epoch(self, state: Callable[[], State], figures: dict[str, float]) -> None:
        """Does nothing: only time counts."""


class NoCheckpointer:
    """For a short fit, which starts anew where it was interrupted."""

    def load(self, name: str) -> State | None:
        """Finds nothing."""
        return None

    def due(self) -> bool:
        """Never."""
        return False

    def save(self, state: State) -> None:
        """Does nothing."""

    def epoch(self, state: Callable[[], State], figures: dict[str, float]) -> None:
        """Does nothing."""


class TrainCheckpointer(_Timed):
    """Checkpoints of Ray Train."""

    def __init__(self, every_s: float, rank: int) -> None:
        super().__init__(every_s)
        self._rank = rank

    def load(self, name: str) -> State | None:
        """The last checkpoint, if it belongs to this fit."""
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return of_fit(name, (Path(folder) / "state.pt").read_bytes())

    def save(self, state: State) -> None:
        """Report a checkpoint, which is uploaded while training goes on; a barrier of all ranks."""
        import ray.train
        from ray.train import CheckpointUploadMode

        figures = {"fit": state["fit"], "step": state["progress"]["step"]}
        if self._rank != 0:
            ray.train.report(figures)
        else:
            folder = Path(tempfile.mkdtemp(prefix="sdm-ray-"))
            (folder / "state.pt").write_bytes(packed(state))
            ray.train.report(
                figures,
                checkpoint=ray.train.Checkpoint.from_directory(folder),
                checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
                delete_local_checkpoint_after_upload=True,
            )
        self._last = time.monotonic()


class FolderCheckpointer(_Timed):
    """One file in a folder, for training in this process."""

    def __init__(self, folder: UPath, every_s: float) -> None:
        super().__init__(every_s)
        self._file = folder / "state.pt"

    def load(self, name: str) -> State | None:
        """The last state, if it belongs to this fit."""
        return of_fit(name, self._file.read_bytes()) if self._file.exists() else None

    def save(self, state: State) -> None:
        """Write the state under a temporary name and rename it over the last one."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._file) as draft:
            draft.write_bytes(packed(state))
        self._last = time.monotonic()


class TuneCheckpointer:
    """Collects the epochs of a trial's fits and reports them to Ray Tune with one checkpoint.

    Args:
        goal: name of the figure to report: the best epoch of each fit, then the mean over the fits.
        rank: of this process, where the trial is a Ray Train run, which passes its reports on; None where it is not.
    """

    def __init__(self, goal: str, rank: int | None = None) -> None:
        self._goal = goal
        self._rank = rank
        self._states: dict[str, bytes] = {}
        self._history: dict[str, list[dict[str, float]]] = {}

    def load(self, name: str) -> State | None:
        """The last state of an interrupted trial."""
        import ray.train
        from ray import tune

        checkpoint: Any = tune.get_checkpoint() if self._rank is None else ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            data = (Path(folder) / f"{name}.pt").read_bytes()
        state = of_fit(name, data)
        if state is not None:
            self._states[name], self._history[name] = data, list(state["progress"]["history"])
        return state

    def due(self) -> bool:
        """Never between epochs."""
        return False

    def save(self, state: State) -> None:
        """Does nothing: `report` saves states."""

    def epoch(self, state: Callable[[], State], figures: dict[str, float]) -> None:
        """Note a fit's epoch."""
        now = state()
        self._states[now["fit"]] = packed(now)
        self._history.setdefault(now["fit"], []).append(figures)

    def report(self) -> None:
        """Report all fits, on every rank; Tune may end the trial here."""
        import ray.train
        from ray import tune

        best = [max((e[self._goal] for e in each), key=_number) for each in self._history.values()]
        figures = {self._goal: sum(best) / len(best), "epoch": max(map(len, self._history.values()))}
        steps = {"fit_epochs": sum(map(len, self._history.values()))}
        if self._rank:  # one rank's checkpoint is that of all
            ray.train.report({**figures, **steps})
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, state in self._states.items():
                (Path(folder) / f"{name}.pt").write_bytes(state)
            if self._rank is None:
                tune.report({**figures, **steps}, checkpoint=tune.Checkpoint.from_directory(folder))
            else:
                ray.train.report({**figures, **steps}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _number(value: float) -> float:
    """A value to take the maximum of: NaN is below all others."""
    return -math.inf if math.isnan(value) else value


def packed(state: State) -> bytes:
    """A state as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def of_fit(name: str, data: bytes) -> State | None:
    """A state from bytes, or None if it belongs to another fit; no code is run from it."""
    state: State = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state if state["fit"] == name else None

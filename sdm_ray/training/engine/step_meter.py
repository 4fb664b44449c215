"""What steps cost a rank: rows, bytes, and the share of time in which it waits for data."""

import time
from collections.abc import Iterable, Iterator

from sdm_ray.batch import Array, Batch
from sdm_ray.ray_metrics import count
from sdm_ray.training.engine.reporting import Reporter

_EVERY_S = 10.0  # between two reports


class StepMeter:
    """Measures the steps of a fit on one rank.

    Args:
        fit: its name.
        reporter: has the tracker log the share of time that went to waiting for data.
    """

    def __init__(self, fit: str, reporter: Reporter) -> None:
        self._fit, self._reporter = fit, reporter
        self._since = time.monotonic()
        self._waited = self._rows = self._bytes = 0.0
        self._steps = self._step = 0

    def timed(self, batches: Iterable[dict[str, Batch[Array]]]) -> Iterator[dict[str, Batch[Array]]]:
        """The batches; the time until each is there counts as waiting."""
        source = iter(batches)
        while True:
            begun = time.monotonic()
            batch = next(source, None)
            self._waited += time.monotonic() - begun
            if batch is None:
                return
            yield batch

    def step(self, cut: list[dict[str, Batch[Array]]], step: int) -> None:
        """Note a step on the parts of a batch, the `step`-th of the fit."""
        arrays = [values for part in cut for batch in part.values() for values in batch.values()]
        self._rows += sum(len(next(iter(batch.values()))) for part in cut for batch in part.values())
        self._bytes += sum(values.nbytes for values in arrays)
        self._steps += 1
        self._step = step
        if time.monotonic() - self._since > _EVERY_S:
            self._report()

    def close(self) -> None:
        """Report the steps since the last report; all of those of a short fit."""
        if self._steps:
            self._report()

    def _report(self) -> None:
        passed = time.monotonic() - self._since
        count("sdm_ray_samples", self._rows, fit=self._fit)
        count("sdm_ray_steps", self._steps, fit=self._fit)
        count("sdm_ray_batch_bytes", self._bytes, fit=self._fit)
        count("sdm_ray_seconds", self._waited, fit=self._fit, spent_on="data")
        count("sdm_ray_seconds", passed - self._waited, fit=self._fit, spent_on="steps")
        if self._reporter.tracker is not None:
            figures = {"waiting_for_data": self._waited / passed, "samples_per_s": self._rows / passed}
            named = {f"{self._fit}/{name}": value for name, value in figures.items()}
            self._reporter.tracker.metrics(named, self._step)
        self._since = time.monotonic()
        self._waited = self._rows = self._bytes = 0.0
        self._steps = 0

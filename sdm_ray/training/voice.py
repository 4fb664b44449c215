"""What a rank says while it trains: progress and lines to the person at the driver, figures to the tracker."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sdm_ray.progress import Meter, say
from sdm_ray.tracking import Tracker

_EVERY_S = 1.0  # between two progress messages


@dataclass
class Voice:
    """The voice of one rank.

    Attributes:
        lines: the actor that carries messages to the driver; None keeps silent.
        tracker: where figures go; None for nowhere.
    """

    lines: Any = None
    tracker: Tracker | None = None
    _last: float = 0.0

    def say(self, line: str) -> None:
        """One line to the driver's output."""
        if self.lines is not None:
            self.lines.add.remote(("say", line))

    def at(self, label: str, count: int, total: int) -> None:
        """Progress; shown at most every second."""
        if self.lines is not None and time.monotonic() - self._last > _EVERY_S:
            self._last = time.monotonic()
            self.lines.add.remote(("at", label, count, total))

    def epoch(self, label: str, figures: dict[str, float], step: int) -> None:
        """The figures of an epoch: a line, and an entry in the tracker."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.say(f"  {label}: step {step}: {shown}")
        if self.tracker is not None:
            self.tracker.metrics({f"{label}/{name}": value for name, value in figures.items()}, step)


@contextmanager
def listening(tracker: Tracker | None) -> Iterator[Voice]:
    """Print on the driver what ranks say while the block runs.

    Ray prints workers' output with a process's name before each line; a small actor carries ours instead.
    """
    import ray

    lines = ray.remote(num_cpus=0)(_Lines).remote()
    done = threading.Event()
    printer = threading.Thread(target=_print, args=(lines, done), daemon=True)
    printer.start()
    try:
        yield Voice(lines, tracker)
    finally:
        done.set()
        printer.join(timeout=10)
        ray.kill(lines)


class _Lines:
    """Messages on their way."""

    def __init__(self) -> None:
        self.waiting: list[tuple] = []

    def add(self, message: tuple) -> None:
        self.waiting.append(message)

    def take(self) -> list[tuple]:
        taken, self.waiting = self.waiting, []
        return taken


def _print(lines: Any, done: threading.Event) -> None:  # noqa: ANN401 - a Ray actor
    import ray

    meter: Meter | None = None
    ending = False
    while not ending:
        ending = done.wait(0.3)
        for message in ray.get(lines.take.remote()):
            if message[0] == "say":
                if meter is not None:
                    meter.clear()
                say(message[1])
                continue
            _, label, count, total = message
            if meter is None or meter.label != label:
                meter = Meter(total, label)
            meter.at(count)
    if meter is not None:
        meter.clear()

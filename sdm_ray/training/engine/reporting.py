"""What a rank says while it trains: progress and lines to the person at the driver, figures to the tracker."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sdm_ray.progress import Meter, say
from sdm_ray.tracking import Tracker

_EVERY_S = 0.5  # between two progress messages

Message = Sequence[Any]


@dataclass
class Voice:
    """The voice of one rank; picklable.

    Attributes:
        send: takes messages to the driver; None keeps silent.
        tracker: where figures go; None for nowhere.
    """

    send: Callable[[Message], None] | None = None
    tracker: Tracker | None = None
    _last: float = 0.0

    def say(self, line: str) -> None:
        """One line to the driver's output."""
        if self.send is not None:
            self.send(("say", line))

    def at(self, label: str, count: int, total: int) -> None:
        """Progress; passed on about twice a second."""
        if self.send is not None and time.monotonic() - self._last > _EVERY_S:
            self._last = time.monotonic()
            self.send(("at", label, count, total))

    def epoch(self, label: str, figures: dict[str, float], step: int, told: dict[str, float]) -> None:
        """The figures of an epoch: a line of those that are told, and an entry in the tracker of all."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
        self.say(f"  {label}: step {step}: {shown}")
        if self.tracker is not None:
            self.tracker.metrics({f"{label}/{name}": value for name, value in figures.items()}, step)


class Printer:
    """Prints messages: lines as they are, progress as a meter."""

    def __init__(self) -> None:
        self._meter: Meter | None = None

    def __call__(self, message: Message) -> None:
        """Print one message."""
        if message[0] == "say":
            self.close()
            say(message[1])
            return
        _, label, count, total = message
        if self._meter is None or self._meter.label != label:
            self._meter = Meter(total, label)
        self._meter.at(count)

    def close(self) -> None:
        """Wipe the meter."""
        if self._meter is not None:
            self._meter.clear()


@contextmanager
def listening(tracker: Tracker | None) -> Iterator[Voice]:
    """Print on the driver what ranks in other processes say while the block runs.

    Ray prints workers' output with a process's name before each line, so messages go by the cluster's own store of
    keys and values; an actor to carry them would be one process more beside the training.
    """
    box = f"sdm_ray:{uuid.uuid4().hex}:"
    done = threading.Event()
    printer = threading.Thread(target=_print, args=(box, done), daemon=True)
    printer.start()
    try:
        yield Voice(_Wire(box), tracker)
    finally:
        done.set()
        printer.join(timeout=10)


@dataclass
class _Wire:
    """Leaves messages in a box, each under the time it was sent at."""

    box: str

    def __call__(self, message: Message) -> None:
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(f"{self.box}{time.time_ns():020d}", json.dumps(message))


def _print(box: str, done: threading.Event) -> None:
    from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_list

    show = Printer()
    ending = False
    while not ending:
        ending = done.wait(0.3)
        for key in sorted(_internal_kv_list(box)):
            show(json.loads(_internal_kv_get(key)))
            _internal_kv_del(key)
    show.close()

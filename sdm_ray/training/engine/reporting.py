"""Reporting from ranks: progress and lines to the driver's output, figures to the tracker."""

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
class Reporter:
    """Reports of one rank; picklable.

    Attributes:
        send: sends messages to the driver; None for a rank that reports nothing.
        tracker: where figures are logged; None for nowhere.
    """

    send: Callable[[Message], None] | None = None
    tracker: Tracker | None = None
    _last: float = 0.0

    def say(self, line: str) -> None:
        """Print one line on the driver."""
        if self.send is not None:
            self.send(("say", line))

    def at(self, label: str, count: int, total: int) -> None:
        """Report progress, about twice a second."""
        if self.send is not None and time.monotonic() - self._last > _EVERY_S:
            self._last = time.monotonic()
            self.send(("at", label, count, total))

    def epoch(self, label: str, figures: dict[str, float], step: int, shown: dict[str, float]) -> None:
        """Report the figures of an epoch: print those to show, log all in the tracker."""
        line = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        self.say(f"  {label}: step {step}: {line}")
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
        """Clear the meter."""
        if self._meter is not None:
            self._meter.clear()


@contextmanager
def driver_reporter(tracker: Tracker | None) -> Iterator[Reporter]:
    """A reporter for ranks in other processes, whose messages the driver prints while the block runs.

    Ray prints a process's name before each line of workers' output, so messages go through the cluster's key-value
    store; an actor for them would be one more process.
    """
    prefix = f"sdm_ray:{uuid.uuid4().hex}:"
    done = threading.Event()
    printer = threading.Thread(target=_print, args=(prefix, done), daemon=True)
    printer.start()
    try:
        yield Reporter(_KeyValueSender(prefix), tracker)
    finally:
        done.set()
        printer.join(timeout=10)


@dataclass
class _KeyValueSender:
    """Stores messages under a prefix and the time of sending, which orders them."""

    prefix: str

    def __call__(self, message: Message) -> None:
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(f"{self.prefix}{time.time_ns():020d}", json.dumps(message))


def _print(prefix: str, done: threading.Event) -> None:
    from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_list

    show = Printer()
    ending = False
    while not ending:
        ending = done.wait(0.3)
        for key in sorted(_internal_kv_list(prefix)):
            show(json.loads(_internal_kv_get(key)))
            _internal_kv_del(key)
    show.close()

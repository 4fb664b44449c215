"""What a person sees while a job runs: lines on a terminal, sparse lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def say(line: str) -> None:
    """Print one line at once."""
    print(line, flush=True)


class Meter:
    """One line that tells how far something long is, with the time left.

    On a terminal the line is rewritten about five times a second; elsewhere a line is printed at most every ten
    seconds, so that logs stay short.
    """

    def __init__(self, total: int, label: str) -> None:
        self.total = total
        self.label = label
        self._terminal = sys.stdout.isatty()
        self._interval = 0.2 if self._terminal else 10.0
        self._start = self._shown = time.monotonic()
        self._first: int | None = None

    def at(self, count: int) -> None:
        """Show that `count` of the total are done."""
        if self._first is None:
            self._first = count - 1  # a resumed job does not begin at 0
        now = time.monotonic()
        if now - self._shown >= self._interval or (count == self.total and self._terminal):
            self._shown = now
            left = (now - self._start) / (count - self._first) * max(self.total - count, 0)
            text = f"  {self.label}: {count}/{self.total}, about {left:.0f} s left"
            print(f"\r{text:<78}" if self._terminal else text, end="" if self._terminal else "\n", flush=True)

    def clear(self) -> None:
        """Wipe the line from a terminal."""
        if self._terminal:
            print(f"\r{'':<78}\r", end="", flush=True)


def track(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Pass items on and show how far they are, with the time left."""
    meter = Meter(total, label)
    for count, item in enumerate(items, 1):
        yield item
        meter.at(count)
    meter.clear()
